//! Names the targets that have a restartable sequence.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(restartable)");
    println!("cargo::rerun-if-changed=build.rs");
    let of = |key: &str| std::env::var(key).unwrap_or_default();
    let arch = of("CARGO_CFG_TARGET_ARCH");
    let is_known = ["x86_64", "aarch64"].contains(&arch.as_str())
        && of("CARGO_CFG_TARGET_OS") == "linux"
        && of("CARGO_CFG_TARGET_ENV") == "gnu"
        && of("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
    // Models and Miri run no assembly.
    let is_native = std::env::var_os("CARGO_CFG_LOOM").is_none()
        && std::env::var_os("CARGO_CFG_MIRI").is_none();
    if is_known && is_native {
        println!("cargo::rustc-cfg=restartable");
    }
}
