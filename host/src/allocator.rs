//! Owns the allocator of the program, and hides the user's `MIMALLOC_*` variables from it.

/// A task allocates and frees hundreds of small values on the thread that runs it. glibc's
/// allocator would return each such heap to the system and request it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) use hidden::restore_environment;

/// Gives the program its environment back. Only glibc passes the arguments of the program to
/// constructors, so elsewhere nothing is hidden.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn restore_environment() {}

/// The allocator reads its options from the environment in a constructor, before `main`, and has no
/// switch against that but for a C compiler's flag, which would reach every other crate too. The
/// environment is therefore empty until `main` begins.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod hidden {
    use std::ffi::{CStr, c_char, c_int};
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    type Environment = *mut *mut c_char;

    unsafe extern "C" {
        static mut environ: Environment;
    }

    /// The environment while it is hidden; null before and afterwards.
    static KEPT: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());
    /// An environment without variables: the null pointer that ends the list.
    static EMPTY: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

    /// Constructors run in the order of these numbers, and those without one, such as the
    /// allocator's, run last; clang gives it 101. (`.preinit_array` is too early: glibc sets
    /// `environ` after it.)
    #[used]
    #[unsafe(link_section = ".init_array.00098")]
    static FIRST_CONSTRUCTOR: unsafe extern "C" fn(c_int, *mut *mut c_char, Environment) = hide;

    unsafe extern "C" fn hide(count: c_int, arguments: *mut *mut c_char, _: Environment) {
        // SAFETY: No other thread exists yet. `arguments` has `count` texts, as in C's `main`.
        unsafe {
            let is_compiler = count > 1
                && CStr::from_ptr(*arguments.add(1)).to_bytes()
                    == persea_plugin::compile::WORD.as_bytes();
            // The host clears the compiler's environment and sets an option of the allocator there.
            if !is_compiler {
                KEPT.store(environ, Ordering::Relaxed);
                environ = EMPTY.as_ptr();
            }
        }
    }

    /// Gives the program its environment back: first of all in `main`, before any thread exists.
    pub(crate) fn restore_environment() {
        let kept = KEPT.swap(ptr::null_mut(), Ordering::Relaxed);
        if !kept.is_null() {
            // SAFETY: No other thread exists yet, and `kept` is the environment of the process.
            unsafe { environ = kept };
        }
    }
}
