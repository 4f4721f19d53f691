//! A worker process: takes documents from its stdin, works on them, records, answers on its stdout.
//!
//! It ends at the end of its input, so it cannot outlive its supervisor.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use tachograph::{Metrics as _, SegmentOptions};

use super::Failure;
use super::metrics::{Activity, Stage, WorkerMetrics};
use super::protocol::{Answer, Order, Outcome, Refusal};
use super::truth::{BINARY_PREFIX, BYTES_MAX};
use super::walk::{Document, Stamp};

/// A paced worker rests this many times as long as it worked: four of them take half a CPU at most.
const REST_FACTOR: u32 = 7;
/// And at least so long, which bounds the rate where documents are small.
const REST_MIN: Duration = Duration::from_millis(2);
/// And at most so long.
const REST_MAX: Duration = Duration::from_millis(500);

/// Works until the input ends.
///
/// # Errors
/// When the input makes no sense, the segment cannot be attached, or nobody reads the answers.
pub(crate) fn run(input: impl BufRead, output: impl Write) -> Result<(), Failure> {
    let mut lines = input.lines();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let first = first?;
    let Some(Order::Attach {
        name,
        paced,
        segment,
    }) = Order::parse(&first)
    else {
        return Err(format!("a worker was told {first:?} first, not where to attach").into());
    };
    let writer = SegmentOptions::new()
        .path(segment)
        .process_name(name)
        .attach()?;
    let metrics = WorkerMetrics::register(&writer)?;
    serve(lines, output, &metrics, paced)
}

fn serve(
    lines: impl Iterator<Item = io::Result<String>>,
    mut output: impl Write,
    metrics: &WorkerMetrics,
    paced: bool,
) -> Result<(), Failure> {
    // One write for each answer, so that a kill cannot cut it.
    let mut say = |answer: Answer| {
        output.write_all(answer.to_string().as_bytes())?;
        output.flush()
    };
    metrics.set_activity(Activity::Idle);
    for line in lines {
        let line = line?;
        let Some(Order::Work { ticket, document }) = Order::parse(&line) else {
            return Err(format!("a worker was told {line:?}").into());
        };
        say(Answer::Begin(ticket))?;
        metrics.set_activity(Activity::Busy);
        metrics.in_flight.inc();
        let started = Instant::now();
        let outcome = work_on(&document, metrics);
        metrics.in_flight.dec();
        metrics.set_activity(Activity::Idle);
        say(Answer::Done(ticket, outcome))?;
        if paced {
            thread::sleep((started.elapsed() * REST_FACTOR).clamp(REST_MIN, REST_MAX));
        }
    }
    Ok(())
}

/// Takes one document through all stages, and records.
pub(crate) fn work_on(document: &Document, metrics: &WorkerMetrics) -> Outcome {
    match stages(document, metrics) {
        Ok(hash) => Outcome::Counted { hash },
        Err(refusal) => {
            metrics.error(refusal).inc();
            Outcome::Refused(refusal)
        }
    }
}

/// The order of the records is that of the rows in `totals`: what is missing after a kill is a last part of it.
fn stages(document: &Document, metrics: &WorkerMetrics) -> Result<u64, Refusal> {
    let text = metrics.timed_if_ok(Stage::Read, || read(document))?;
    let tokens = metrics.timed(Stage::Tokenise, || tokenise(&text));
    let terms = metrics.timed(Stage::Count, || term_frequencies(&tokens));
    let hash = metrics.timed(Stage::Hash, || content_hash(&text));
    let bytes = text.len() as u64;
    metrics.sizes.record(bytes);
    metrics.read_bytes.add(bytes);
    metrics.tokens.add(tokens.len() as u64);
    metrics.terms.add(terms.len() as u64);
    metrics.documents.inc();
    Ok(hash)
}

/// The document's text, if it is text and still what was listed.
fn read(document: &Document) -> Result<String, Refusal> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(&document.path)
        .map_err(|_| Refusal::Unreadable)?;
    check_stamp(&file, document)?;
    if document.stamp.bytes > BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let mut content = Vec::new();
    (&file)
        .take(BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|_| Refusal::Unreadable)?;
    check_stamp(&file, document)?;
    if content.len() as u64 != document.stamp.bytes {
        return Err(Refusal::Changed);
    }
    if content[..content.len().min(BINARY_PREFIX)].contains(&0) {
        return Err(Refusal::Binary);
    }
    String::from_utf8(content).map_err(|_| Refusal::NotUtf8)
}

fn check_stamp(file: &File, document: &Document) -> Result<(), Refusal> {
    let metadata = file.metadata().map_err(|_| Refusal::Unreadable)?;
    if metadata.is_file() && Stamp::of(&metadata) == document.stamp {
        Ok(())
    } else {
        Err(Refusal::Changed)
    }
}

/// The words: longest runs of letters, digits and underscores.
fn tokenise(text: &str) -> Vec<&str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
        .collect()
}

/// How often each word occurs, in whatever case.
fn term_frequencies(tokens: &[&str]) -> HashMap<String, u64> {
    let mut frequencies = HashMap::new();
    for token in tokens {
        *frequencies.entry(token.to_lowercase()).or_insert(0) += 1;
    }
    frequencies
}

fn content_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::totals::{self, DOCUMENTS, SIZE_SUM, TOKENS, error_row};
    use crate::demo::truth::Truth;
    use crate::demo::walk;
    use std::fs;
    use std::path::Path;

    fn unusual_files(root: &Path) {
        let write = |name: &str, content: &[u8]| fs::write(root.join(name), content).unwrap();
        write("empty", b"");
        write("no-end", b"the last line has no end");
        write("blank", b" \n\t\n");
        write("crlf", b"one\r\ntwo\r\n");
        write(
            "unicode",
            "ΣΟΦΟΣ σοφος naïve NAÏVE 東京 ½ e\u{301}t\u{e9}\u{2028}x".as_bytes(),
        );
        write("bom", "\u{feff}word".as_bytes());
        write("nul", b"text\0text");
        write("cut", b"ends in half a letter \xc3");
        write("latin1", b"caf\xe9 au lait");
        let mut late_nul = vec![b'a'; BINARY_PREFIX];
        late_nul.extend(b"\0 end");
        write("late-nul", &late_nul);
        let limit = usize::try_from(BYTES_MAX).unwrap();
        write("largest", &vec![b'l'; limit]);
        write("too-large", &vec![b'l'; limit + 1]);
        fs::create_dir(root.join("sub dir\n")).unwrap();
        write("sub dir\n/odd %41 name ü", b"odd name");
    }

    #[test]
    fn a_worker_records_the_truth() {
        let root = tempfile::tempdir().unwrap();
        unusual_files(root.path());
        let documents = walk::list(root.path()).unwrap().documents;
        let truth = Truth::count(documents, || false);
        assert_eq!(truth.known.len(), 13);

        let writer = SegmentOptions::new().heap().unwrap();
        let metrics = WorkerMetrics::register(&writer).unwrap();
        let mut input = String::new();
        for (ticket, known) in (0..).zip(&truth.known) {
            let document = known.document.clone();
            input.push_str(&Order::Work { ticket, document }.to_string());
        }
        let mut output = Vec::new();
        let lines = input.as_bytes().lines();
        serve(lines, &mut output, &metrics, false).unwrap();

        let recorded = totals::recorded(&writer.snapshot().unwrap());
        assert_eq!(recorded, truth.one_pass());
        assert_eq!(recorded[DOCUMENTS], 9);
        assert!(recorded[SIZE_SUM] > BYTES_MAX && recorded[TOKENS] > 15);
        assert_eq!(recorded[error_row(Refusal::NotUtf8)], 2);
        let mut answers = Vec::new();
        for (ticket, known) in (0..).zip(&truth.known) {
            answers.push(Answer::Begin(ticket));
            answers.push(Answer::Done(ticket, known.outcome));
        }
        let output = String::from_utf8(output).unwrap();
        let given: Option<Vec<Answer>> = output.lines().map(Answer::parse).collect();
        assert_eq!(given, Some(answers));
    }

    #[test]
    fn a_changed_a_missing_and_a_replaced_file_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        fs::write(&path, "one").unwrap();
        let document = Document::at(path.clone()).unwrap();
        assert_eq!(read(&document).as_deref(), Ok("one"));
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&document), Err(Refusal::Changed));
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&document), Err(Refusal::Unreadable));
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(read(&document), Err(Refusal::Unreadable));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&document), Err(Refusal::Changed));
    }

    #[test]
    fn words_are_runs_of_letters_digits_and_underscores() {
        assert_eq!(tokenise(" a_b, c-3\n½"), ["a_b", "c", "3", "½"]);
        assert_eq!(tokenise(""), [""; 0]);
        let frequencies = term_frequencies(&tokenise("The the THE end"));
        assert_eq!((frequencies["the"], frequencies.len()), (3, 2));
    }

    #[test]
    fn nonsense_ends_a_worker() {
        let output = Vec::new();
        assert!(run(&b""[..], output.clone()).is_ok());
        assert!(run(&b"work 1 2 3 4 5 a\n"[..], output.clone()).is_err());
        assert!(run(&b"attach w full /nonexistent/x/y.seg\n"[..], output).is_err());
    }
}
