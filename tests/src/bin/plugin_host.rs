//! A process that loads a shared object which records, and closes it again, many times in several threads.
#![expect(unsafe_code, reason = "a shared object's functions are called by name")]

use std::error::Error;
use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Parser;
use libloading::Library;
use nix::sys::prctl;
use nix::sys::signal::Signal;

type Record = unsafe extern "C" fn(*const c_char, u64, bool) -> u64;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    segment: PathBuf,
    #[arg(long)]
    library: PathBuf,
    #[arg(long)]
    threads: usize,
    /// How often each thread loads and closes it.
    #[arg(long)]
    rounds: usize,
    /// How many adds it makes each time.
    #[arg(long)]
    adds: u64,
    /// Lets it go, in a build for proof.
    #[arg(long)]
    unpinned: bool,
}

fn main() {
    prctl::set_pdeathsig(Signal::SIGKILL).expect("this is Linux");
    let options = Options::parse();
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                for _ in 0..options.rounds {
                    visit(&options).expect("the library records");
                    // Away from the CPU and back: the kernel looks where the last sequence was.
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    say_whether_it_is_loaded(&options.library);
}

/// Loads the library, lets it record, and closes it.
fn visit(options: &Options) -> Result<(), Box<dyn Error>> {
    let segment = CString::new(options.segment.as_os_str().as_bytes())?;
    // SAFETY: what the library does when it is loaded and closed is what is tested.
    let library = unsafe { Library::new(&options.library) }?;
    // SAFETY: the function has this type.
    let record = unsafe { library.get::<Record>(b"record\0") }?;
    // SAFETY: the text ends with a zero.
    let missed = unsafe { record(segment.as_ptr(), options.adds, !options.unpinned) };
    library.close()?;
    (missed == 0)
        .then_some(())
        .ok_or_else(|| "it could not attach".into())
}

#[expect(clippy::print_stdout, reason = "a worker talks to its test by lines")]
fn say_whether_it_is_loaded(library: &Path) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    let state = if maps.contains(&*name) {
        "loaded"
    } else {
        "gone"
    };
    println!("{state}");
}
