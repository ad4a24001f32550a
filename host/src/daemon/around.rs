//! What the loop looks at now and then beside its members: the calendar, the keeper, the plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkd_core::policy::{About, Notice, NoticeKind};
use checkd_core::report::PluginReport;

use super::Daemon;
use crate::plugin::Standing;
use crate::wall::Both;

impl Daemon {
    /// Maintenance windows begin and end by the clock on the wall.
    pub(super) fn look_at_calendar(&mut self) {
        let plan = Arc::clone(&self.plan);
        for event in self.calendar.look(&plan, jiff::Timestamp::now()) {
            self.step(&event);
        }
    }

    /// A keeper that hangs is told once, to whoever watches and to whoever does not.
    pub(super) fn look_at_keeper(&mut self) {
        let hangs = self.manager.keeper_hangs();
        let before = std::mem::replace(&mut self.keeper_hangs, hangs.is_some());
        match hangs {
            Some(told) if !before => {
                self.talk.line(&crate::cli::tell::text(&told));
                let notice = Notice {
                    about: About::Host,
                    at: crate::clock::now(),
                    kind: NoticeKind::Stall,
                    text: format!("{}; no member is started or stopped", told.message),
                    incident: None,
                };
                let wall = Both::read().wall_ms(notice.at);
                self.notifier.tell(&notice, &self.plan, wall);
                self.journal.hurry();
            }
            None if before => self.talk.own("the keeper answers again"),
            Some(_) | None => {}
        }
    }

    pub(super) fn quarantined(&self) -> Vec<PluginReport> {
        let all = self.runner.standings().into_iter();
        let quarantined = all.filter_map(|(name, standing)| match standing {
            Standing::Quarantined(quarantined) => Some(PluginReport {
                name: name.to_string(),
                quarantined,
            }),
            Standing::Open | Standing::Good => None,
        });
        quarantined.collect()
    }

    /// A plugin that is quarantined is told once, to whoever watches and to whoever does not, and so is
    /// the end of that.
    pub(super) fn look_at_plugins(&mut self) {
        let standings: BTreeMap<Arc<str>, Standing> = self.runner.standings().into_iter().collect();
        let mut told = Vec::new();
        for (name, now) in &standings {
            let before = self.plugins.get(name);
            match (before, now) {
                (Some(Standing::Quarantined(_)), Standing::Quarantined(_)) => {}
                (_, Standing::Quarantined(why)) => {
                    let text = format!("its checks are unknown; {why}");
                    told.push((Arc::clone(name), NoticeKind::Quarantined, text, true));
                }
                // A daemon before this one may have told of a quarantine.
                (None | Some(Standing::Open | Standing::Quarantined(_)), Standing::Good) => {
                    let loud = matches!(before, Some(Standing::Quarantined(_)));
                    let text = "a run came back: its checks say again how it is".to_owned();
                    told.push((Arc::clone(name), NoticeKind::Released, text, loud));
                }
                (_, Standing::Good | Standing::Open) => {}
            }
        }
        for (name, before) in &self.plugins {
            if matches!(before, Standing::Quarantined(_)) && !standings.contains_key(name) {
                let text = "it is used no more".to_owned();
                told.push((Arc::clone(name), NoticeKind::Released, text, true));
            }
        }
        let wall = Both::read().wall_ms(crate::clock::now());
        for (name, kind, text, loud) in told {
            if loud {
                self.talk
                    .about(wall, &format!("plugin {name}"), &text, Some(kind));
            }
            self.notifier.tell_of_plugin(&name, kind, &text, wall);
        }
        self.plugins = standings;
    }
}
