//! Keeps the shared object that holds this code loaded.
//!
//! After a sequence the thread's area still names its descriptor, and the kernel looks there when it next
//! preempts the thread, however long after. Were the object unloaded by then, the thread would die of SIGSEGV.
//! Clearing the name after each sequence would cost every add a store; so the object stays, once it has attached
//! a segment, as if it had been linked with `-z nodelete`.

use std::ffi::c_void;
use std::mem::MaybeUninit;

/// Pins the object that holds this code; nothing to do where that is the program itself.
pub(super) fn pin() {
    #[cfg(tachograph_proof)]
    if super::storm::PlantedFault::Unpinned.is_planted() {
        return;
    }
    let Some(here) = object_of(pin as *const c_void) else {
        return;
    };
    // SAFETY: R5: this reads a word that the kernel gave the process.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
    let program = object_of(std::ptr::without_provenance(crate::word::to_usize(headers)));
    if program.is_some_and(|program| program.dli_fbase == here.dli_fbase) {
        return;
    }
    // SAFETY: R5: the name is that of a loaded object, which cannot go while its code runs. It is not loaded again and no
    // code of it runs; the reference that is taken is never given back.
    unsafe {
        libc::dlopen(
            here.dli_fname,
            libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE,
        )
    };
}

/// The loaded object that `address` lies in.
fn object_of(address: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::uninit();
    // SAFETY: R5: any address may be asked for; `info` has room for the answer.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    // SAFETY: R5: it was filled in where something was found.
    (found != 0).then(|| unsafe { info.assume_init() })
}
