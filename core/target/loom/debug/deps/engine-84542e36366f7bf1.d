/work/main/core/target/loom/debug/deps/engine-84542e36366f7bf1.d: /work/main/clippy.toml core/tests/engine.rs Cargo.toml

/work/main/core/target/loom/debug/deps/libengine-84542e36366f7bf1.rmeta: /work/main/clippy.toml core/tests/engine.rs Cargo.toml

/work/main/clippy.toml:
core/tests/engine.rs:
Cargo.toml:

# env-dep:CARGO_TARGET_TMPDIR=/work/main/core/target/loom/tmp
# env-dep:CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# env-dep:CLIPPY_CONF_DIR
