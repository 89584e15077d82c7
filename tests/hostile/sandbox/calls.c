/* Makes each system call that the seccomp filter of the sandbox refuses, with arguments that no kernel accepts, and
 * prints its name and error. For root without the filter, the error is any but EPERM. The numbers are those of the C
 * library. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(name)                                                                                                              \
    errno = 0;                                                                                                                 \
    printf("%s %s\n", #name, syscall(SYS_##name, -1L, -1L, -1L, -1L, -1L, -1L) < 0 ? strerror(errno) : "done");

int main(void) {
    TRY(acct) TRY(add_key) TRY(bpf) TRY(clock_settime) TRY(delete_module) TRY(fanotify_init) TRY(finit_module) TRY(fsconfig)
    TRY(fsmount) TRY(fsopen) TRY(fspick) TRY(init_module) TRY(io_uring_enter) TRY(io_uring_register) TRY(io_uring_setup) TRY(kcmp)
    TRY(kexec_load) TRY(keyctl) TRY(lookup_dcookie) TRY(mount) TRY(mount_setattr) TRY(move_mount) TRY(nfsservctl)
    TRY(open_by_handle_at) TRY(open_tree) TRY(perf_event_open) TRY(pidfd_getfd) TRY(pivot_root) TRY(quotactl) TRY(quotactl_fd)
    TRY(reboot) TRY(request_key) TRY(setns) TRY(settimeofday) TRY(swapoff) TRY(swapon) TRY(syslog) TRY(umount2) TRY(unshare)
    TRY(userfaultfd)
#ifdef __x86_64__
    TRY(_sysctl) TRY(create_module) TRY(get_kernel_syms) TRY(ioperm) TRY(iopl) TRY(kexec_file_load) TRY(query_module) TRY(sysfs)
    TRY(uselib) TRY(ustat)
#endif
    return 0;
}
