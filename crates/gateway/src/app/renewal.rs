//! What a running node does about new settings and new programs: it takes them itself, or has a successor do so.

use super::instance::{self, Claim};
use super::read_once::ReadOnce;
use super::signals::{Request, Signals};
use super::succession::{self, Successor};
use super::{Launch, Running, STOP_TIME, keep, preflight, reload};
use crate::settings::{Settings, Sources};
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// What became of new settings.
enum Taken {
    /// This process goes on with them; what the operator should know.
    Here(Vec<String>),
    Succeeded(Successor, Vec<String>),
}

impl Running {
    /// Takes the settings that `bascule reload` has left, or what the present ones name as it is now. When they cannot
    /// be taken as a whole, everything stays as it is.
    pub(super) async fn reload(&mut self, signals: &mut Signals, claim: &Claim, launch: &Launch) -> Option<Successor> {
        let request = reload::Request::find(&self.settings.prefix);
        let taken = self.renew(request.as_ref(), signals, claim, launch).await;
        let told = match (&taken, request) {
            (Ok(Taken::Here(warnings) | Taken::Succeeded(_, warnings)), Some(request)) => request.accept(warnings),
            (Err(errors), Some(request)) => request.refuse(errors),
            (_, None) => Ok(()),
        };
        if let Err(error) = told {
            tracing::error!("cannot tell the reloading process what became of it: {error}");
        }
        match taken {
            Ok(Taken::Here(warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                tracing::info!("reloaded");
                None
            }
            Ok(Taken::Succeeded(successor, _)) => Some(successor),
            Err(errors) => {
                tracing::error!("the new settings are not taken: {}", errors.join("; "));
                None
            }
        }
    }

    /// Has the program as it is on disk take this process' place, with the same settings.
    pub(super) async fn replace(&mut self, signals: &mut Signals, claim: &Claim, launch: &Launch) -> Option<Successor> {
        let file = self.settings.own_file();
        let succeeded = match succession::program() {
            Ok(program) => self.hand_over(program, &file, signals, claim, launch).await,
            Err(error) => Err(error),
        };
        succeeded.inspect_err(|error| tracing::error!("no successor takes over: {error}")).ok()
    }

    /// Finishes what there is while a successor serves, or a later one; who waits for this process speaks to the one
    /// that is the node.
    pub(super) async fn finish_beside(
        &self,
        successor: &Successor,
        mut drained: JoinHandle<()>,
        signals: &mut Signals,
        launch: &Launch,
    ) {
        let prefix = &self.settings.prefix;
        let mut node = successor.pid();
        'beside: loop {
            let mut ended = std::pin::pin!(succession::ended(node));
            loop {
                tokio::select! {
                    _ = &mut drained => return,
                    () = &mut ended => break,
                    request = signals.next() => {
                        if launch.is_awaited() {
                            // It may have ended; who waits for it is told.
                            let _ = instance::Running::find(prefix).map(|node| node.signal(request.signal()));
                        } else if request == Request::Stop {
                            break 'beside;
                        }
                    }
                }
            }
            // One that has been succeeded ends as this one does.
            match instance::Running::find(prefix) {
                Some(later) if later.pid != node => node = later.pid,
                _ => break,
            }
        }
        // The node has been ended: what is left here has as long as it had.
        if tokio::time::timeout(STOP_TIME, &mut drained).await.is_err() {
            self.cut_off(drained).await;
        }
    }

    async fn renew(
        &mut self,
        request: Option<&reload::Request>,
        signals: &mut Signals,
        claim: &Claim,
        launch: &Launch,
    ) -> Result<Taken, Vec<String>> {
        let file = request.map_or_else(|| self.settings.own_file(), reload::Request::file);
        let new = Settings::load(&Sources { file: Some(file.clone()), ..Sources::default() })?;
        preflight::check(&new)?;
        let program = request.and_then(|request| request.program.clone());
        let is_same = self.started.unrenewed(&new).is_empty()
            && self.read_once == ReadOnce::of(&new)
            && preflight::own_plugins(&new).is_empty();
        if program.is_none() && is_same {
            let warnings = self.take(new).await?;
            keep(&self.settings).map_err(|error| vec![error])?;
            return Ok(Taken::Here(warnings));
        }
        let program = program.map_or_else(succession::program, Ok).map_err(|error| vec![error])?;
        let succeeded = self.hand_over(program, &file, signals, claim, launch).await;
        Ok(Taken::Succeeded(succeeded.map_err(|error| vec![error])?, new.warnings.clone()))
    }

    /// Has a program with the settings of a file take this process' place.
    async fn hand_over(
        &mut self,
        program: PathBuf,
        settings: &Path,
        signals: &mut Signals,
        claim: &Claim,
        launch: &Launch,
    ) -> Result<Successor, String> {
        let failed = |e: std::io::Error| format!("cannot hand the listening sockets over: {e}");
        let mut offers = self.plane.offer().map_err(failed)?;
        offers.extend(self.interfaces.offer().map_err(failed)?);
        let successor = Successor::start(&program, &self.settings.prefix, settings, launch.manner)?;
        tracing::info!("handing over to {}", program.display());
        let ready = tokio::select! {
            ready = successor.prepare(offers) => ready,
            request = signals.end() => {
                self.told = Some(request);
                Err("the node was told to end".to_owned())
            }
        };
        if let Err(error) = ready {
            successor.kill();
            return Err(error);
        }
        // Writes that are under way are answered before the successor looks for the last time; later ones are its own.
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(STOP_TIME, self.interfaces.ended(&mut self.tasks)).await;
        claim.cede();
        if let Err(error) = successor.begin().await {
            successor.kill();
            claim.hold()?;
            self.serve_interfaces();
            return Err(error);
        }
        self.alone.abort_all();
        Ok(successor)
    }
}
