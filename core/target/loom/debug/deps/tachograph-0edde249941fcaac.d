/work/main/core/target/loom/debug/deps/tachograph-0edde249941fcaac.d: /work/main/clippy.toml core/src/lib.rs core/src/attached.rs core/src/buckets.rs core/src/catalogue.rs core/src/cell.rs core/src/claim.rs core/src/counter.rs core/src/error.rs core/src/gauge.rs core/src/histogram.rs core/src/host.rs core/src/index.rs core/src/labels.rs core/src/layout.rs core/src/loss.rs core/src/models.rs core/src/process.rs core/src/record.rs core/src/register.rs core/src/rseq.rs core/src/schema.rs core/src/segment.rs core/src/shape.rs core/src/snapshot.rs core/src/sync.rs core/src/text.rs core/src/unit.rs core/src/values.rs core/src/window.rs core/src/word.rs core/src/../../docs/FORMAT.md Cargo.toml

/work/main/core/target/loom/debug/deps/libtachograph-0edde249941fcaac.rmeta: /work/main/clippy.toml core/src/lib.rs core/src/attached.rs core/src/buckets.rs core/src/catalogue.rs core/src/cell.rs core/src/claim.rs core/src/counter.rs core/src/error.rs core/src/gauge.rs core/src/histogram.rs core/src/host.rs core/src/index.rs core/src/labels.rs core/src/layout.rs core/src/loss.rs core/src/models.rs core/src/process.rs core/src/record.rs core/src/register.rs core/src/rseq.rs core/src/schema.rs core/src/segment.rs core/src/shape.rs core/src/snapshot.rs core/src/sync.rs core/src/text.rs core/src/unit.rs core/src/values.rs core/src/window.rs core/src/word.rs core/src/../../docs/FORMAT.md Cargo.toml

/work/main/clippy.toml:
core/src/lib.rs:
core/src/attached.rs:
core/src/buckets.rs:
core/src/catalogue.rs:
core/src/cell.rs:
core/src/claim.rs:
core/src/counter.rs:
core/src/error.rs:
core/src/gauge.rs:
core/src/histogram.rs:
core/src/host.rs:
core/src/index.rs:
core/src/labels.rs:
core/src/layout.rs:
core/src/loss.rs:
core/src/models.rs:
core/src/process.rs:
core/src/record.rs:
core/src/register.rs:
core/src/rseq.rs:
core/src/schema.rs:
core/src/segment.rs:
core/src/shape.rs:
core/src/snapshot.rs:
core/src/sync.rs:
core/src/text.rs:
core/src/unit.rs:
core/src/values.rs:
core/src/window.rs:
core/src/word.rs:
core/src/../../docs/FORMAT.md:
Cargo.toml:

# env-dep:CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
# env-dep:CLIPPY_CONF_DIR
