//! What a confined worker may not ask of the kernel: each gives it "operation not permitted".

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What reaches into other processes, into the machine, or past the other rules.
const NEVER: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    // Sockets and files without a system call of their own.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    // Another root, other mounts, other namespaces.
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_setns,
    libc::SYS_unshare,
    // The kernel and the machine.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    // The keys of its user.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// The numbers of the same calls for programs of x32.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Refuses all that is not granted to this thread, and to whatever it starts, from now on.
///
/// A kernel without seccomp refuses nothing. A `command` has yet to become its program: it may
/// execute, and Landlock says what.
pub(super) fn refuse(network: bool, exec: bool, command: bool) -> Result<(), String> {
    if !seccomp() {
        return Ok(());
    }
    let cannot = |error: &dyn std::fmt::Display| format!("it cannot be confined: {error}");
    let program = program(network, exec, command).map_err(|error| cannot(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| cannot(&error))
}

fn program(network: bool, exec: bool, command: bool) -> seccompiler::Result<BpfProgram> {
    let mut calls = NEVER.to_vec();
    if !network {
        // Pairs of sockets that are connected to each other lead nowhere.
        calls.push(libc::SYS_socket);
    }
    if !exec {
        // Landlock has no say about programs in memory.
        calls.extend([libc::SYS_execveat, libc::SYS_memfd_create]);
        if !command {
            calls.push(libc::SYS_execve);
        }
    }
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.into_iter().map(|call| (call, Vec::new())).collect();
    // The limits of others.
    let another = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![another])?]);
    #[cfg(target_arch = "x86_64")]
    {
        let x32: Vec<_> = rules
            .iter()
            .map(|(call, rule)| (call | X32, rule.clone()))
            .collect();
        rules.extend(x32);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(ARCH)?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?)
}

/// Whether this kernel filters system calls.
pub(super) fn seccomp() -> bool {
    rustix::thread::secure_computing_mode().is_ok()
}

/// The version of Landlock that this kernel speaks; 0: none.
pub(super) fn landlock_version() -> i64 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure, makes no descriptor and tells a number.
    #[expect(unsafe_code, reason = "std and rustix do not know the call")]
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    };
    version.max(0)
}
