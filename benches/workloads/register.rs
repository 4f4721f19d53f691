//! What is done once: attaching to a segment and registering a series; and finding a series that exists.

use std::process::Command;
use std::time::Duration;

use criterion::Criterion;
use tachograph::{Counter, FamilyHandle, Labelled, Reader};
use tachograph_benches::ours::{self, Folder, PageLabels};
use tachograph_benches::{Role, Workload, input};

/// Series of the segments that are attached to.
const SERIES: usize = 1_000;
/// Series registered between two looks at the clock.
const BATCH: usize = 1_000;

pub(super) fn run(criterion: &mut Criterion) {
    attach_reader(criterion);
    attach_writer(criterion);
    register(criterion);
    register_labelled(criterion);
    look_up(criterion);
}

fn attach_reader(criterion: &mut Criterion) {
    let mut workload = Workload::new(criterion, "attach a reader", 1);
    workload.prepared(Role::Ours, "Reader::attach", || {
        let many = ours::many_counters(SERIES, 2);
        (
            || (),
            move |()| Reader::attach(many.folder.path(ours::FILE)).unwrap(),
        )
    });
}

/// Each attach is the first of a new process, which says what it took.
fn attach_writer(criterion: &mut Criterion) {
    let mut workload = Workload::new(criterion, "attach a writer", 1);
    workload.told(Role::Ours, "SegmentOptions::attach", || {
        let many = ours::many_counters(SERIES, 2);
        move || attach_in_child(&many.folder)
    });
}

fn attach_in_child(folder: &Folder) -> Duration {
    let visitor = Command::new(env!("CARGO_BIN_EXE_visitor"))
        .arg(folder.path(ours::FILE))
        .output()
        .unwrap();
    let nanos = String::from_utf8(visitor.stdout).unwrap();
    Duration::from_nanos(nanos.trim().parse().unwrap())
}

/// New series of one family, the segment exchanged before it is full.
fn register(criterion: &mut Criterion) {
    let mut workload = Workload::bulk(criterion, "register a series", BATCH);
    workload.prepared(Role::Ours, "Family::with", || {
        let mut family = None;
        let mut labels = (0..ours::MANY).map(input::page_label_values);
        let prepare = move || {
            let mut batch: Vec<_> = labels.by_ref().take(BATCH).collect();
            if batch.len() < BATCH || family.is_none() {
                family = Some(ours::page_counters(&ours::Many::new(2)));
                labels = (0..ours::MANY).map(input::page_label_values);
                batch = labels.by_ref().take(BATCH).collect();
            }
            (family.clone().unwrap(), batch)
        };
        let call = |(family, batch): (FamilyHandle<Counter>, Vec<[String; 3]>)| {
            for values in &batch {
                family.with(&ours::page_labels(values)).unwrap();
            }
            batch
        };
        (prepare, call)
    });
}

/// The same by a type of labels.
fn register_labelled(criterion: &mut Criterion) {
    let name = "register a series by its type of labels";
    let mut workload = Workload::bulk(criterion, name, BATCH);
    workload.prepared(Role::Ours, "Labelled::with", || {
        let mut family = None;
        let mut labels = (0..ours::MANY).map(input::page_label_values);
        let prepare = move || {
            let mut batch: Vec<_> = labels.by_ref().take(BATCH).collect();
            if batch.len() < BATCH || family.is_none() {
                family = Some(ours::labelled_page_counters(&ours::Many::new(2)));
                labels = (0..ours::MANY).map(input::page_label_values);
                batch = labels.by_ref().take(BATCH).collect();
            }
            (family.clone().unwrap(), batch)
        };
        let call = |(family, batch): (Labelled<Counter, PageLabels<'static>>, Vec<[String; 3]>)| {
            for [method, endpoint, instance] in &batch {
                let labels = PageLabels {
                    method,
                    endpoint,
                    instance,
                };
                std::hint::black_box(family.with(&labels));
            }
            batch
        };
        (prepare, call)
    });
}

fn look_up(criterion: &mut Criterion) {
    let mut workload = Workload::new(criterion, "look up a series", 1);
    workload.lone_op(Role::Ours, "Family::with, 3 labels", || {
        let family = ours::page_counters(&ours::Many::new(2));
        let values: Vec<_> = (0..SERIES).map(input::page_label_values).collect();
        move |at| {
            let labels = ours::page_labels(&values[at % SERIES]);
            std::hint::black_box(family.with(&labels).unwrap());
        }
    });
}
