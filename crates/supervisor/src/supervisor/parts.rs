//! Inputs and outputs together: what has happened to one, and what follows for the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::RunError;
use super::inputs::{AfterFailure, Inputs};
use super::outputs::{Outputs, Start};
use super::reload::{PreparedOutputs, wanted_outputs};
use crate::assembler::AssemblyError;
use crate::config::Config;
use crate::config::checked::Input;
use crate::driver::{DriveError, Leftovers};
use crate::inputs::InputError;
use crate::output::Prepared;
use crate::registry::{Registry, Stage};
use crate::service::Service;

/// Everything that runs or is waited for.
pub(super) type Tasks = JoinSet<Happened>;

/// Something has happened.
pub(super) enum Happened {
    /// An input takes events.
    InputStarted(Arc<str>, u64),
    /// An input will send no more chunks.
    InputSendsNoMore(Arc<str>, u64),
    /// An input has ended.
    Input(Arc<str>, Result<(), InputError>),
    /// An input that has failed is to be started again.
    InputRetry(Arc<str>),
    /// The assembler of an output has ended.
    Assembler(Arc<str>, Result<(), AssemblyError>),
    /// An output has ended.
    Driver(Arc<str>, Result<Leftovers, DriveError>),
    /// Nothing that matters.
    Nothing,
}

/// See the module.
pub(super) struct Parts {
    config: Config,
    registry: Registry,
    service: Service,
    inputs: Inputs,
    outputs: Outputs,
    tasks: Tasks,
    /// Until when everything has to end, if it has to.
    stopping: Option<Instant>,
    failed: bool,
}

impl Parts {
    /// Starts all that the configuration wants.
    pub(super) async fn start(
        config: Config,
        registry: &Registry,
        service: &Service,
    ) -> Result<Self, RunError> {
        let mut prepared = PreparedOutputs::new();
        for output in wanted_outputs(&config) {
            prepared.insert(output.id.clone(), Prepared::new(output).await?);
        }
        let mut parts = Self {
            inputs: Inputs::new(registry.clone()),
            outputs: Outputs::new(registry.clone()),
            config,
            registry: registry.clone(),
            service: service.clone(),
            tasks: Tasks::new(),
            stopping: None,
            failed: false,
        };
        parts.want(prepared);
        parts.start_outputs()?;
        for id in parts.inputs.to_start() {
            let (config, outputs) = (&parts.config, &parts.outputs);
            let ways = |input: &Input| outputs.ways(config, input);
            parts.inputs.start(&id, &config.data_dir, ways, &mut parts.tasks)?;
        }
        registry.arrange(&parts.config);
        Ok(parts)
    }

    /// The configuration that runs.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    /// Tells the service manager that inputs accept events, and what runs.
    pub(super) fn say_ready(&self) {
        self.service.ready(&self.registry);
    }

    /// Takes on another configuration. `prepared` has the outputs of it that are new or changed.
    pub(super) fn apply(&mut self, config: Config, prepared: PreparedOutputs) {
        for gone in self.config.outputs.iter().filter(|old| config.outputs.iter().all(|new| new.id != old.id))
        {
            if !gone.active {
                self.registry.remove_output(&gone.id);
            }
        }
        self.config = config;
        self.want(prepared);
        self.go_on();
        self.registry.arrange(&self.config);
    }

    fn want(&mut self, prepared: PreparedOutputs) {
        for output in self.config.outputs.iter().filter(|output| !output.active) {
            self.registry.enter_inactive(output, "it belongs to another environment".to_owned());
        }
        let until = Instant::now() + self.config.shutdown_timeout;
        self.outputs.want(wanted_outputs(&self.config), prepared, until);
        let taken = |input: &&Input| {
            self.config.outputs.iter().any(|output| output.active && output.takes(&input.id))
        };
        self.inputs.want(self.config.inputs.iter().filter(taken).cloned().map(Arc::new));
    }

    /// Waits for something to happen; nothing when all has ended.
    pub(super) async fn next(&mut self) -> Option<Result<Happened, JoinError>> {
        self.tasks.join_next().await
    }

    /// Takes in what has happened.
    pub(super) fn handle(&mut self, happened: Result<Happened, JoinError>) {
        match happened {
            Ok(Happened::InputStarted(id, number)) => self.inputs.on_started(&id, number),
            Ok(Happened::InputSendsNoMore(id, number)) => self.inputs.on_sends_no_more(&id, number),
            Ok(Happened::Input(id, Ok(()))) => self.inputs.on_ended(&id),
            Ok(Happened::Input(id, Err(error))) => self.on_input_failed(&id, &error),
            Ok(Happened::InputRetry(id)) => self.start_input(&id),
            Ok(Happened::Driver(id, Ok(left))) => {
                let (outputs, mut start) = self.starting();
                if let Err(error) = outputs.on_ended(&id, left, &mut start) {
                    self.fail(&error);
                }
            }
            // The driver says why.
            Ok(Happened::Assembler(_, Err(AssemblyError::Closed))) => self.stop_failed(),
            Ok(Happened::Assembler(output, Err(error @ AssemblyError::DeadLetter(_)))) => {
                tracing::error!(output = &*output, %error, "an output failed: stopping");
                self.stop_failed();
            }
            Ok(Happened::Driver(output, Err(error))) => {
                tracing::error!(output = &*output, %error, "an output failed: stopping");
                self.stop_failed();
            }
            Ok(Happened::Assembler(_, Ok(())) | Happened::Nothing) => {}
            // An input that was to be started again is not.
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(%error, "a part of the forwarder panicked: stopping");
                self.stop_failed();
            }
        }
        self.go_on();
    }

    fn on_input_failed(&mut self, id: &Arc<str>, error: &InputError) {
        let after = self.inputs.on_failed(id, error, &mut self.tasks);
        if self.stopping.is_some() || after == AfterFailure::Fatal {
            tracing::error!(input = &**id, %error, "an input failed: stopping");
            self.stop_failed();
        } else {
            tracing::error!(input = &**id, %error, "an input failed and is started again by and by");
        }
    }

    /// Does what follows from what has changed.
    fn go_on(&mut self) {
        if let Err(error) = self.start_outputs() {
            self.fail(&error);
        }
        // A way that is gone must not be held by inputs while the output at its end waits for that.
        let (config, outputs) = (&self.config, &self.outputs);
        self.inputs.set_ways(|input| outputs.ways(config, input));
        for id in self.inputs.to_start() {
            self.start_input(&id);
        }
        if self.inputs.are_over() {
            self.outputs.close_ways();
        }
        if self.registry.stage() == Stage::Starting && self.inputs.have_started() {
            self.registry.set_stage(Stage::Running);
            self.say_ready();
        }
    }

    fn start_outputs(&mut self) -> Result<(), crate::output::OutputError> {
        let (outputs, mut start) = self.starting();
        outputs.start_all(&mut start)
    }

    fn starting(&mut self) -> (&mut Outputs, Start<'_>) {
        let start =
            Start { data_dir: &self.config.data_dir, stopping: self.stopping, tasks: &mut self.tasks };
        (&mut self.outputs, start)
    }

    fn start_input(&mut self, id: &Arc<str>) {
        let (config, outputs) = (&self.config, &self.outputs);
        let ways = |input: &Input| outputs.ways(config, input);
        if let Err(error) = self.inputs.start(id, &config.data_dir, ways, &mut self.tasks) {
            self.on_input_failed(id, &error);
        }
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "a part of the forwarder cannot start: stopping");
        self.stop_failed();
    }

    fn stop_failed(&mut self) {
        self.failed = true;
        if self.stopping.is_none() {
            self.stop(self.config.shutdown_timeout);
        }
    }

    fn stop(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        self.stopping = Some(until);
        self.service.stopping(patience);
        self.registry.set_stage(Stage::Stopping);
        self.inputs.stop();
        self.outputs.stop(until);
        if self.inputs.are_over() {
            self.outputs.close_ways();
        }
    }

    /// The process was told to stop; the second time, at once.
    pub(super) fn on_signal(&mut self) {
        if self.stopping.is_none() {
            let patience = self.config.shutdown_timeout;
            tracing::info!(patience_secs = patience.as_secs_f32(), "stopping; a second signal stops at once");
            self.stop(patience);
        } else {
            tracing::warn!("stopping at once: what flies may be repeated after the next start");
            self.stop(Duration::ZERO);
        }
    }

    /// Logs what was forwarded so far if that has changed since `before`; returns what to compare with next time.
    pub(super) fn sum_up(&self, before: u64) -> u64 {
        let now = self.outputs.flow();
        if now != before {
            self.say_totals("so far");
        }
        now
    }

    fn say_totals(&self, when: &str) {
        self.inputs.say_totals(when);
        self.outputs.say_totals(when);
    }

    /// Everything has ended; `false` if a part has failed.
    pub(super) fn finish(self) -> bool {
        self.say_totals("in all");
        tracing::info!("stopped");
        !self.failed
    }
}
