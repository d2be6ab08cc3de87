//! The second launcher: puts on every layer, then becomes the command. A further layer goes between
//! `files::restrict` and the exec.

use crate::{
    Layer, files,
    identity::{become_owner, drop_capabilities},
    limits,
    message::{Message, Order, hear, say},
    spec::Spec,
    sys,
};
use rustix::{
    fs::{MemfdFlags, Mode, memfd_create},
    process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid, umask},
    stdio::dup2_stdin,
};
use std::{
    fs::File,
    io::{Seek, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::Command,
};

/// The entry `confine`: returns only when the command could not be started.
pub(crate) fn confine() -> i32 {
    let Ok(keeper) = std::io::stdin().as_fd().try_clone_to_owned() else { return 1 };
    let mut keeper = File::from(keeper);
    let refusal = match hear::<Order>(&mut keeper) {
        Ok(order) => become_command(&order, &mut keeper),
        Err(error) => Message::not_prepared("the order was not understood", error),
    };
    i32::from(say(&mut keeper, &refusal).is_ok())
}

/// Replaces this process; returns what prevented it.
fn become_command(order: &Order, keeper: &mut File) -> Message {
    let layers = match put_on_layers(order) {
        Ok(layers) => layers,
        Err(refusal) => return refusal,
    };
    if let Err(error) = say(keeper, &Message::Confined { layers }) {
        return Message::not_prepared("the keeper does not listen", error);
    }
    let spec = &order.spec;
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.environment());
    // The keeper takes the end of its socket for success: it closes with the exec, as all else does.
    let error = command.exec();
    Message::NotStarted { why: error.to_string() }
}

fn put_on_layers(order: &Order) -> Result<Vec<Layer>, Message> {
    let spec = &order.spec;
    let _ = setsid();
    umask(Mode::from_raw_mode(0o022));
    give_stdin(spec).map_err(|error| Message::not_prepared("standard input", error))?;
    limits::put_on(&spec.limits, order.owner.is_some())?;
    let mut layers = vec![Layer::Limits, Layer::Tree];
    match order.owner {
        Some(owner) => {
            become_owner(owner)?;
            layers.push(Layer::Identity);
        }
        None => drop_capabilities()?,
    }
    // A change of uid clears the death signal, so it is set after; the keeper may be gone by then.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| Message::refused(Layer::Tree, error))?;
    if getppid().map(Pid::as_raw_pid) != Some(order.keeper) {
        return Err(Message::refused(Layer::Tree, "the keeper is gone"));
    }
    std::env::set_current_dir(&spec.workdir).and_then(|()| std::fs::read_dir(&spec.workdir).map(drop)).map_err(
        |error| {
            let folder = spec.workdir.display();
            let hint = "every folder above it must be passable (o+x) for the uid of the command";
            Message::not_prepared(&format!("the work folder {folder} is out of the command's reach, {hint}"), error)
        },
    )?;
    layers.extend(files::restrict(spec)?);
    if !layers.contains(&Layer::Identity) && !layers.contains(&Layer::Scope) {
        let why = "neither root, to give the command a uid of its own, nor Linux 6.12: it could kill its executor";
        return Err(Message::refused(Layer::Scope, why));
    }
    if let Some(missing) = Layer::ALWAYS.iter().chain(&spec.require).find(|layer| !layers.contains(layer)) {
        return Err(Message::refused(*missing, "this kernel does not have it, and it is required"));
    }
    sys::close_on_exec().map_err(|error| Message::refused(Layer::Files, format!("close_range: {error}")))?;
    layers.sort_unstable();
    Ok(layers)
}

/// Puts what the command is to read, or the end of file, in place of the order's socket.
fn give_stdin(spec: &Spec) -> std::io::Result<()> {
    if spec.stdin.is_empty() {
        return Ok(dup2_stdin(File::open("/dev/null")?)?);
    }
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(&spec.stdin)?;
    file.rewind()?;
    Ok(dup2_stdin(file)?)
}
