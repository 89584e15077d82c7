/* Makes each system call that the seccomp filter of the sandbox refuses, and prints its name and error. Where a name stands
 * alone, the arguments are ones that no kernel accepts. With -DI386, the numbers and the entry point are those of 32-bit
 * programs: `int $0x80` works in 64-bit programs too. The numbers are those of the kernel's headers. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef I386
#include <asm/unistd_32.h>

static long call(long number, long first, long second) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(-1L), "S"(-1L), "D"(-1L)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}
#else
#include <sys/syscall.h>

static long call(long number, long first, long second) {
    long result = syscall(number, first, second, -1L, -1L, -1L, -1L);
    return result < 0 ? -errno : result;
}
#endif

/* Since Linux 6.15. */
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif

static void attempt(const char *name, long number, long first, long second) {
    long result = call(number, first, second);
    if (result == 0 && number == __NR_clone)
        _exit(0);
    printf("%s %s\n", name, result < 0 ? strerror(-result) : "done");
    fflush(stdout);
}

#define TRY(name) attempt(#name, __NR_##name, -1, -1);
#define TRY_WITH(name, first, second) attempt(#name, __NR_##name, first, second);

int main(void) {
    /* In a session of its own, because a successful vhangup takes the terminal away. */
    if (fork() != 0) {
        int status = 1;
        wait(&status);
        return status != 0;
    }
    setsid();

    TRY(acct) TRY(add_key) TRY(bpf) TRY(clock_settime) TRY(delete_module) TRY(fanotify_init) TRY(finit_module) TRY(fsconfig)
    TRY(fsmount) TRY(fsopen) TRY(fspick) TRY(init_module) TRY(io_uring_enter) TRY(io_uring_register) TRY(io_uring_setup) TRY(kcmp)
    TRY(kexec_load) TRY(lookup_dcookie) TRY(mount) TRY(mount_setattr) TRY(move_mount) TRY(nfsservctl) TRY(open_by_handle_at)
    TRY(open_tree) TRY(open_tree_attr) TRY(perf_event_open) TRY(pidfd_getfd) TRY(pivot_root) TRY(quotactl) TRY(quotactl_fd)
    TRY(reboot) TRY(request_key) TRY(setns) TRY(settimeofday) TRY(swapoff) TRY(swapon) TRY(syslog) TRY(umount2)
    TRY(userfaultfd) TRY(vhangup)
    TRY(clone3)
    /* CLONE_NEWUSER, with SIGCHLD. */
    TRY_WITH(clone, 0x10000011, 0)
    TRY_WITH(unshare, 0x10000000, 0)
    /* KEYCTL_READ of the session's keyring. */
    TRY_WITH(keyctl, 11, -3)
    /* TIOCSTI, TIOCLINUX. */
    TRY_WITH(ioctl, -1, 0x5412) TRY_WITH(ioctl, -1, 0x541c)
    /* AF_VSOCK, SOCK_STREAM. */
    TRY_WITH(socket, 40, 1)
#if defined __x86_64__
    /* They are not in the generic table of system calls. */
    TRY(_sysctl) TRY(create_module) TRY(get_kernel_syms) TRY(ioperm) TRY(iopl) TRY(query_module) TRY(sysfs) TRY(uselib) TRY(ustat)
#endif
#ifdef I386
    TRY(bdflush) TRY(clock_settime64) TRY(stime) TRY(umount) TRY(vm86) TRY(vm86old)
    /* SYS_SOCKET. A filter cannot see its arguments, because they are in memory. */
    TRY_WITH(socketcall, 1, -1)
#else
    TRY(kexec_file_load)
#endif
    return 0;
}
