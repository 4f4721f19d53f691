//! What must hold after each run.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tachograph::Snapshot;

use super::{Clean, Fate, Outcome, Run};
use crate::scenario::{Effect, LABEL, PASSING, SHARED, STEADY, Scenario, group};

impl Run<'_> {
    /// Sees that everything shown is whole and exact, but for the `contribution` of the victim to the series
    /// that everybody registers.
    pub(super) fn check(&self, contribution: RangeInclusive<u64>) -> Outcome {
        let snapshot = self.snapshot()?;
        self.check_names(&snapshot)?;
        self.check_steady(&snapshot)?;
        if self.scenario.effect() == Effect::Nothing {
            return Ok(());
        }
        let shared = self.scenario.shown(&snapshot, SHARED)?.unwrap_or(0);
        let possible = self.possible(contribution);
        if !possible.contains(&shared) {
            return Err(format!("shared shows {shared}, not {possible:?}"));
        }
        // Beyond the limit there are no series of one's own.
        if self.scenario == Scenario::Overflow {
            Ok(())
        } else {
            self.check_own(&snapshot)
        }
    }

    /// What the series that everybody registers may show.
    fn possible(&self, contribution: RangeInclusive<u64>) -> RangeInclusive<u64> {
        let (least, most) = contribution.into_inner();
        match (self.scenario.effect(), self.scenario) {
            (Effect::ShowsWhileAlive, _) => self.works.min(1)..=1,
            // The own updates go there too; the victim makes one after its act, in its work.
            (_, Scenario::Overflow) => {
                2 * self.works + least + least / 2..=2 * self.works + most + most / 2
            }
            _ => self.works + least..=self.works + most,
        }
    }

    /// Sees that the series of one bystander each are exact.
    fn check_own(&self, snapshot: &Snapshot) -> Outcome {
        let survivor = self
            .survivor
            .iter()
            .map(|_| ("survivor", self.survivor_works));
        let others = self.bystanders.iter().map(|actor| (actor.name.as_str(), 1));
        for (who, works) in survivor.chain(others) {
            let works = match self.scenario.effect() {
                Effect::ShowsWhileAlive => works.min(1),
                _ => works,
            };
            let own = self.scenario.shown(snapshot, who)?.unwrap_or(0);
            if own != works {
                return Err(format!("{who} shows {own}, not {works}"));
            }
        }
        Ok(())
    }

    fn check_steady(&self, snapshot: &Snapshot) -> Outcome {
        if !self.scenario.is_prepared() {
            return Ok(());
        }
        let steady = crate::verdict::counter_value(snapshot, STEADY, &[(LABEL, "survivor")]);
        if steady == 100 + self.survivor_works {
            Ok(())
        } else {
            Err(format!("the survivor's counter shows {steady}"))
        }
    }

    /// Sees that there is no series that nobody asked for.
    fn check_names(&self, snapshot: &Snapshot) -> Outcome {
        for view in snapshot.families() {
            let name = view.family.name.as_str();
            let is_passing = self.scenario == Scenario::Families && name == PASSING;
            if !is_passing && ![self.scenario.family(), STEADY, "spare", "level"].contains(&name) {
                return Err(format!("a family {name}"));
            }
            for series in view.series() {
                let labels = &series.series.labels;
                let is_known = match (labels.len(), labels.get(LABEL)) {
                    (0, _) => name == "level",
                    (1, Some(value)) => self.is_label(value),
                    _ => false,
                };
                if !is_known {
                    return Err(format!("a series {name} {labels:?}"));
                }
            }
        }
        Ok(())
    }

    fn is_label(&self, value: &str) -> bool {
        let known = [SHARED, "survivor", "victim", "dead", "first", "__other__"];
        known.contains(&value)
            || value.parse::<u32>().is_ok()
            || self.bystanders.iter().any(|actor| actor.name == value)
    }

    /// Sees that at most one record was lost, with its text and its cells.
    pub(super) fn check_fill(&self, clean: &Clean, fate: Fate, is_alive: bool) -> Outcome {
        let expected = match (fate, is_alive) {
            (Fate::Killed, false) => &clean.others,
            _ => &clean.all,
        };
        for (table, used) in self.fill()? {
            let lost = used.saturating_sub(expected.get(table).copied().unwrap_or(0));
            let most = match table {
                "families" | "family_index" | "series" | "series_index" => 1,
                // A child that is stopped still needs its slot.
                "processes" => u64::from(self.scenario == Scenario::Fork && fate == Fate::Stopped),
                _ => clean.act.get(table).copied().unwrap_or(0),
            };
            if lost > most {
                return Err(format!(
                    "{lost} entries of {table} are lost, more than {most}"
                ));
            }
        }
        Ok(())
    }

    /// Sees that the folder is as it should be, with at most one hidden file of a process that was killed.
    pub(super) fn check_folder(&self, fate: Fate) -> Outcome {
        let found = fs::metadata(self.folder()).map_err(|error| error.to_string())?;
        let mode = found.permissions().mode() & 0o7777;
        let is_right = match self.scenario {
            Scenario::CreateForGroup => (mode, found.gid()) == (0o2770, group()),
            _ => mode == 0o700,
        };
        if !is_right {
            return Err(format!(
                "a folder of mode {mode:o} and group {}",
                found.gid()
            ));
        }
        let names = |path: &Path| -> Outcome<Vec<String>> {
            let entries = fs::read_dir(path).map_err(|error| error.to_string())?;
            let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names
                .collect::<std::io::Result<_>>()
                .map_err(|error| error.to_string())
        };
        let mut hidden = names(&self.folder())?;
        hidden.extend(names(&self.scratch.path("."))?);
        hidden.retain(|name| !["test.seg", "folder", "steps"].contains(&name.as_str()));
        if hidden.len() > usize::from(fate == Fate::Killed) {
            return Err(format!("{hidden:?} were left"));
        }
        Ok(())
    }
}
