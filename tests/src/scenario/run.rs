//! Running scenarios.

use super::backend::Backend;
use super::corpus::scenario;
use super::device::Devices;
use super::engine::EngineDevices;
use super::executor::Executor;
use super::step::Scenario;
use crate::kernel::Kernel;

/// Runs the scenario in a file on the kernel that runs, as a test.
///
/// With `DLM_SCENARIOS=print` in the environment what came is printed instead, as a scenario.
///
/// # Panics
///
/// With the first step that came out otherwise.
pub fn on_kernel(name: &str) {
    let done = if std::env::var_os("DLM_SCENARIOS").is_some_and(|value| value == "print") {
        rerecord(Devices::new(), &scenario(name)).map(|text| print!("{text}"))
    } else {
        run(Devices::new(), &scenario(name))
    };
    done.unwrap_or_else(|error| panic!("{error}"));
}

/// Runs the scenario in a file on the engine as each kernel, as a test.
///
/// # Panics
///
/// With the first step that came out otherwise.
pub fn on_engine(name: &str) {
    for kernel in [Kernel::V6_1, Kernel::V6_12] {
        if let Err(error) = run(EngineDevices::new(kernel), &scenario(name)) {
            panic!("as {kernel:?}: {error}");
        }
    }
}

/// Runs a scenario from start to end.
///
/// Whatever is done must come out as the scenario wants, and at its end no result may be left
/// unread in a session that is open.
///
/// # Errors
///
/// The first step that came out otherwise, with its place in the file.
pub fn run<B: Backend>(backend: B, scenario: &Scenario) -> Result<(), String> {
    let topic = scenario.file.rsplit('/').next().unwrap_or_default();
    let topic = topic.split('.').next().unwrap_or_default();
    // The names of lockspaces have an end.
    let topic: String = topic.chars().take(30).collect();
    let mut executor = Executor::new(backend, &topic)?;
    let outcome = steps(&mut executor, scenario);
    let finished = executor.finish();
    outcome.and(finished.map_err(|error| format!("{}: {error}", scenario.file)))
}

/// Does the steps of a scenario, and returns them with what came of each as what it wants.
///
/// # Errors
///
/// A step that cannot be done.
pub fn rerecord<B: Backend>(backend: B, scenario: &Scenario) -> Result<String, String> {
    let mut executor = Executor::new(backend, "record")?;
    let kernel = executor.backend().kernel();
    let mut text = String::new();
    for placed in &scenario.steps {
        if placed.only.is_none_or(|only| only == kernel) {
            let observed = executor.play(&placed.step)?;
            text += &format!("{}\n", executor.record(&placed.step, &observed));
        }
    }
    executor.finish()?;
    Ok(text)
}

fn steps<B: Backend>(executor: &mut Executor<B>, scenario: &Scenario) -> Result<(), String> {
    let kernel = executor.backend().kernel();
    for placed in &scenario.steps {
        if placed.only.is_some_and(|only| only != kernel) {
            continue;
        }
        let observed = executor.play(&placed.step);
        let judged = observed.and_then(|observed| executor.matches(&placed.step, &observed));
        judged.map_err(|error| {
            format!("{}:{}: {}\n{}", scenario.file, placed.line, placed.step, error.trim_end())
        })?;
    }
    match executor.unread().as_slice() {
        [] => Ok(()),
        unread => {
            let unread = unread.join(", ");
            Err(format!("{}: at the end there are unread results: {unread}", scenario.file))
        }
    }
}
