//! One run of a scenario: a victim is killed or stopped at one place of its act, while bystanders work.

mod checks;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;
use nix::unistd::Pid;
use tachograph::{Error, Reader, Snapshot};

use crate::actor::{Actor, go_on, is_stopped};
use crate::scenario::{Effect, Scenario};
use crate::scratch::Scratch;
use crate::tracer::{self, Traced};
use crate::worker::PATIENCE;

/// Where something happens to the victim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a step of the source, when it is passed for the n-th time.
    Step(String, usize),
    /// At the n-th beginning or end of a system call.
    Call(usize),
}

/// What happens to the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is killed.
    Killed,
    /// It is stopped until all others have done their work, and then goes on.
    Stopped,
}

/// How full each table is.
pub type Fill = BTreeMap<&'static str, u64>;

/// What a run without incident shows.
#[derive(Debug, Default)]
pub struct Clean {
    /// The places of the steps in the act, in order.
    pub steps: Vec<Place>,
    /// How many beginnings and ends of system calls there are in the act.
    pub calls: usize,
    /// What the act alone takes.
    act: Fill,
    /// What everybody takes together.
    all: Fill,
    /// What the others take together when there is no victim.
    others: Fill,
}

struct Run<'a> {
    program: &'a str,
    scenario: Scenario,
    scratch: Scratch,
    survivor: Option<Actor>,
    bystanders: Vec<Actor>,
    /// How often a series that everybody registers was worked on in this segment.
    works: u64,
    survivor_works: u64,
}

type Outcome<T = ()> = Result<T, String>;

/// Plays `scenario` without incident, and says what places there are.
///
/// # Errors
/// What went wrong.
pub fn play_clean(program: &str, scenario: Scenario, with_steps: bool) -> Outcome<Clean> {
    let mut clean = Clean::default();
    let mut run = Run::prepare(program, scenario)?;
    run.get_ahead()?;
    run.work_all()?;
    run.add_bystander()?;
    clean.others = run.fill()?;
    run.finish()?;

    let mut run = Run::prepare(program, scenario)?;
    let trace = run.scratch.path("steps");
    let environment = [
        ("TACHOGRAPH_STEPS", trace.display().to_string()),
        overtaken(scenario),
    ];
    let mut victim = run.victim(&environment, &[])?;
    let before = run.fill().unwrap_or_default();
    victim.tell("act")?;
    run.overtake(victim.pid())?;
    victim.wait_done()?;
    clean.act = run.fill()?;
    for (table, used) in &mut clean.act {
        *used -= before.get(table).copied().unwrap_or(0);
    }
    run.work_all()?;
    run.end(victim)?;
    run.add_bystander()?;
    clean.all = run.fill()?;
    clean.steps = steps_of_act(&fs::read_to_string(&trace).unwrap_or_default());
    if let Some(at) = scenario.overtaken_at().and_then(|order| {
        let is_there = |step: &Place| matches!(step, Place::Step(name, nth) if order == format!("{name}:{nth}:stop"));
        clean.steps.iter().position(is_there)
    }) {
        // What comes before is no different without a race.
        clean.steps.drain(..=at);
    }
    run.finish()?;
    if with_steps && clean.steps.is_empty() {
        return Err("the act passes no step: built without --cfg tachograph_proof?".into());
    }

    if scenario.overtaken_at().is_none() {
        let run = Run::prepare(program, scenario)?;
        let mut victim = run.victim(&[], &["--traced"])?;
        victim.tell("act")?;
        match tracer::run_to(victim.pid(), usize::MAX)? {
            Traced::Over(calls) => clean.calls = calls,
            Traced::Held(_) => return Err("no act has so many calls".into()),
        }
        victim.wait_done()?;
    }
    Ok(clean)
}

/// Plays `scenario` with an incident, and sees that it disturbs nobody.
///
/// # Errors
/// What went wrong.
pub fn play(
    program: &str,
    scenario: Scenario,
    place: &Place,
    fate: Fate,
    clean: &Clean,
) -> Outcome {
    let mut run = Run::prepare(program, scenario)?;
    let (mut victim, hit) = run.meet(place, fate)?;
    let is_alive = fate == Fate::Stopped || hit != victim.pid();
    if run.scratch_segment_exists() {
        run.check(0..=1)?;
    }
    run.work_all()?;
    if fate == Fate::Stopped && !is_stopped(hit) {
        return Err("the victim went on by itself".into());
    }
    run.check(0..=1)?;
    if is_alive {
        run.let_go_on(&mut victim, place, fate, hit)?;
        run.end(victim)?;
    }
    run.add_bystander()?;
    let of_act = u64::from(scenario.begins_attached());
    let of_work = u64::from(scenario.victim_works());
    let contribution = match (fate, scenario.effect()) {
        (_, Effect::AddsWhileAlive | Effect::ShowsWhileAlive) => 0..=0,
        (Fate::Stopped, _) => of_act + of_work..=of_act + of_work,
        (Fate::Killed, _) => 0..=of_act,
    };
    if scenario != Scenario::Remove {
        run.check(contribution)?;
    }
    run.check_fill(clean, fate, is_alive)?;
    run.check_folder(fate)?;
    run.finish()
}

fn overtaken(scenario: Scenario) -> (&'static str, String) {
    (
        "TACHOGRAPH_STEP",
        scenario.overtaken_at().unwrap_or_default().into(),
    )
}

/// The passes between the marks, each with its number since the start of the process.
fn steps_of_act(trace: &str) -> Vec<Place> {
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut is_act = false;
    let mut steps = Vec::new();
    for name in trace.lines() {
        match name {
            "act" => is_act = true,
            "acted" => break,
            _ => {
                let nth = passed.entry(name).or_default();
                *nth += 1;
                if is_act {
                    steps.push(Place::Step(name.into(), *nth));
                }
            }
        }
    }
    steps
}

impl<'a> Run<'a> {
    fn prepare(program: &'a str, scenario: Scenario) -> Outcome<Run<'a>> {
        let mut run = Run {
            program,
            scenario,
            scratch: Scratch::new(),
            survivor: None,
            bystanders: Vec::new(),
            works: 0,
            survivor_works: 0,
        };
        if scenario.has_survivor() {
            let mut survivor = run.start("survivor", &[], &[]);
            survivor.ask("attach")?;
            if scenario.is_prepared() {
                survivor.ask("prepare")?;
            }
            run.survivor = Some(survivor);
        }
        match scenario {
            // Dead, it leaves a slot with gauges.
            Scenario::Attach => {
                let mut dead = run.start("dead", &[], &[]);
                dead.ask("attach")?;
                dead.ask("work")?;
            }
            Scenario::Replace | Scenario::LostReplace | Scenario::Remove => {
                let mut creator = run.start("creator", &[], &[]);
                creator.ask("attach")?;
                creator.finish()?;
                if scenario.is_aged() {
                    age(&run.segment()).map_err(|error| error.to_string())?;
                }
            }
            _ => {}
        }
        Ok(run)
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path("folder")
    }

    fn segment(&self) -> PathBuf {
        self.folder().join("test.seg")
    }

    fn scratch_segment_exists(&self) -> bool {
        !self.scenario.is_aged() && self.segment().exists()
    }

    fn start(&self, name: &str, environment: &[(&str, String)], more: &[&str]) -> Actor {
        let segment = self.segment();
        Actor::start(
            self.program,
            &segment,
            self.scenario,
            name,
            environment,
            more,
        )
    }

    /// A victim that is ready to act.
    fn victim(&self, environment: &[(&str, String)], more: &[&str]) -> Outcome<Actor> {
        let mut victim = self.start("victim", environment, more);
        if self.scenario.begins_attached() {
            victim.ask("attach")?;
        }
        if self.scenario == Scenario::Fork {
            victim.ask("prepare")?;
        }
        Ok(victim)
    }

    /// Lets the victim act until it meets its fate; also the process that met it: the victim or its child.
    fn meet(&mut self, place: &Place, fate: Fate) -> Outcome<(Actor, Pid)> {
        match place {
            Place::Step(name, nth) => self.meet_at_step(name, *nth, fate),
            Place::Call(number) => {
                let mut victim = self.victim(&[], &["--traced"])?;
                victim.tell("act")?;
                let Traced::Held(pid) = tracer::run_to(victim.pid(), *number)? else {
                    return Err("the act was over before".into());
                };
                if fate == Fate::Killed {
                    tracer::kill(pid, pid != victim.pid())?;
                    if pid == victim.pid() {
                        victim.wait_end();
                    }
                }
                Ok((victim, pid))
            }
        }
    }

    fn meet_at_step(&mut self, name: &str, nth: usize, fate: Fate) -> Outcome<(Actor, Pid)> {
        let (variable, orders) = overtaken(self.scenario);
        let how = match fate {
            Fate::Killed => "kill",
            Fate::Stopped => "stop",
        };
        let order = format!("{name}:{nth}:{how}");
        let mut victim = self.victim(&[(variable, format!("{orders},{order}"))], &[])?;
        victim.tell("act")?;
        self.overtake(victim.pid())?;
        let mut child = None;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match victim.poll_line() {
                Some(line) if line == "ok" => {
                    // The parent of a killed child goes on to the end of its act.
                    return match child {
                        Some(child) if fate == Fate::Killed => Ok((victim, child)),
                        _ => Err("the act was over before".into()),
                    };
                }
                Some(line) => child = line.strip_prefix("child ").and_then(parse_pid),
                None => {}
            }
            let pid = child.unwrap_or(victim.pid());
            if fate == Fate::Stopped && is_stopped(pid) {
                return Ok((victim, pid));
            }
            if let Some(status) = victim.poll_end() {
                let pid = victim.pid();
                return match (fate, status.signal()) {
                    (Fate::Killed, Some(libc::SIGKILL)) => Ok((victim, pid)),
                    _ => Err(format!("the victim ended as {status}")),
                };
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Err("nothing happens".into())
    }

    /// Where the victim shall lose a race: lets the others overtake it while it waits.
    fn overtake(&mut self, victim: Pid) -> Outcome {
        if self.scenario.overtaken_at().is_none() {
            return Ok(());
        }
        let began = Instant::now();
        while !is_stopped(victim) {
            if began.elapsed() > PATIENCE {
                return Err("the victim does not wait".into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        self.get_ahead()?;
        go_on(victim)
    }

    fn get_ahead(&mut self) -> Outcome {
        match (self.scenario.overtaken_at(), &self.survivor) {
            (None, _) => Ok(()),
            (_, Some(_)) => self.let_survivor_work(),
            (_, None) => self.add_bystander(),
        }
    }

    fn let_go_on(&self, victim: &mut Actor, place: &Place, fate: Fate, hit: Pid) -> Outcome {
        match (fate, place) {
            // Its act ended, with the end of its child.
            (Fate::Killed, Place::Step(..)) => return Ok(()),
            (Fate::Killed, Place::Call(_)) => {}
            (Fate::Stopped, Place::Step(..)) => go_on(hit)?,
            (Fate::Stopped, Place::Call(_)) => tracer::release(hit)?,
        }
        victim
            .wait_done()
            .map_err(|error| format!("the victim, let go: {error}"))
    }

    /// Lets a victim that survived its act work like the others, and end.
    fn end(&self, mut victim: Actor) -> Outcome {
        if self.scenario.victim_works() {
            victim.ask("work")?;
        }
        victim.finish()
    }

    fn let_survivor_work(&mut self) -> Outcome {
        if let Some(survivor) = &mut self.survivor {
            survivor.ask("work")?;
            self.works += 1;
            self.survivor_works += 1;
        }
        Ok(())
    }

    /// Lets everybody but the victim work: those who are there already, and a newcomer.
    fn work_all(&mut self) -> Outcome {
        self.let_survivor_work()?;
        self.add_bystander()
    }

    fn add_bystander(&mut self) -> Outcome {
        let name = format!("bystander{}", self.bystanders.len());
        let mut bystander = self.start(&name, &[], &[]);
        bystander.ask("attach")?;
        bystander.ask("work")?;
        self.bystanders.push(bystander);
        self.works += 1;
        Ok(())
    }

    fn snapshot(&self) -> Outcome<Snapshot> {
        let snapshot = Reader::attach(self.segment()).and_then(|mut reader| reader.snapshot());
        let snapshot = snapshot.map_err(|error: Error| error.to_string())?;
        if !snapshot.damage.is_empty() {
            return Err(format!("damage: {:?}", snapshot.damage));
        }
        Ok(snapshot)
    }

    fn fill(&self) -> Outcome<Fill> {
        let tables = self.snapshot()?.segment.tables;
        Ok(tables
            .iter()
            .map(|table| (table.table, table.used))
            .collect())
    }

    /// Lets everybody end, and sees that no process is shown as alive.
    fn finish(&mut self) -> Outcome {
        for actor in self
            .survivor
            .take()
            .into_iter()
            .chain(self.bystanders.drain(..))
        {
            actor.finish()?;
        }
        let processes = self.snapshot()?.processes;
        match processes.iter().find(|process| process.alive) {
            Some(ghost) => Err(format!("a ghost: {ghost:?}")),
            None => Ok(()),
        }
    }
}

fn parse_pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}

/// Rewrites the header of a segment as if another boot had made it: see docs/FORMAT.md.
fn age(path: &Path) -> std::io::Result<()> {
    const WORDS: usize = 256;
    const CHECKSUM: usize = 2;
    const BOOT_ID: usize = 6;
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut bytes = [0; WORDS * 8];
    file.read_exact_at(&mut bytes, 0)?;
    bytes[BOOT_ID * 8] ^= 0xff;
    let words = bytes.chunks(8).enumerate();
    let covered = words.filter(|&(at, _)| at != CHECKSUM);
    let checksum = covered
        .flat_map(|(_, word)| word)
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    bytes[CHECKSUM * 8..][..8].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&bytes, 0)
}
