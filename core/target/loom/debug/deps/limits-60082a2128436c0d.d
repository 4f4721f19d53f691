/work/main/core/target/loom/debug/deps/limits-60082a2128436c0d.d: /work/main/clippy.toml core/tests/limits.rs Cargo.toml

/work/main/core/target/loom/debug/deps/liblimits-60082a2128436c0d.rmeta: /work/main/clippy.toml core/tests/limits.rs Cargo.toml

/work/main/clippy.toml:
core/tests/limits.rs:
Cargo.toml:

# env-dep:CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# env-dep:CLIPPY_CONF_DIR
