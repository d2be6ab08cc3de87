//! The Landlock layers: which files a command reaches, and that it reaches no network and nobody else.

use crate::{Layer, message::Message, spec::Spec};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::Path;

/// Folders that a command reads and executes.
const READ_AND_EXECUTE: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Folders of the system, none of which is ever a work folder.
pub(crate) const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/boot", "/dev", "/proc", "/sys"];
/// What programs need of `/etc`, all of it public: the loader, names, time, certificates, languages.
const READ: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/os-release",
    "/etc/locale.alias",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/terminfo",
    "/etc/fonts",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/perl",
];
/// Devices that give or take bytes and know nobody.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Confines this thread, and all that it starts, for good. Returns the layers that are on.
///
/// # Errors
/// Refuses when the kernel has no Landlock, or a granted path is not there.
pub(crate) fn restrict(spec: &Spec) -> Result<Vec<Layer>, Message> {
    let status =
        ruleset(spec).and_then(|rules| rules.restrict_self().map_err(|error| error.to_string())).map_err(|why| {
            Message::refused(Layer::Files, format!("Landlock: {why} (Linux 5.13 with lsm=landlock has it)"))
        })?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Message::refused(Layer::Files, "the kernel has no Landlock (Linux 5.13 with lsm=landlock has it)"));
    }
    if !status.no_new_privs {
        return Err(Message::refused(Layer::Privileges, "no_new_privs was not accepted"));
    }
    let mut layers = vec![Layer::Files, Layer::Privileges];
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        _ => ABI::Unsupported,
    };
    if abi >= ABI::V4 {
        layers.push(Layer::Network);
    }
    if abi >= ABI::V6 {
        layers.push(Layer::Scope);
    }
    Ok(layers)
}

/// The first generation is a must, the rest is taken where the kernel has it.
fn ruleset(spec: &Spec) -> Result<RulesetCreated, String> {
    let everything = everything();
    let read_and_execute = AccessFs::from_read(ABI::V1);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let own = everything & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let build = || -> Result<RulesetCreated, RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(everything)?
            .handle_access(AccessNet::from_all(ABI::V4))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .add_rules(path_beneath_rules(READ_AND_EXECUTE, read_and_execute))?
            .add_rules(path_beneath_rules(READ, read))?
            .add_rules(path_beneath_rules(DEVICES, device))
    };
    let mut rules = build().map_err(|error| error.to_string())?;
    for path in &spec.read {
        rules = grant(rules, path, read_and_execute)?;
    }
    grant(rules, &spec.workdir, own)
}

/// All that the newest known Landlock can forbid about files.
fn everything() -> BitFlags<AccessFs> {
    AccessFs::from_all(ABI::V9)
}

/// Unlike the system's folders, a path that was asked for must be there.
fn grant(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, String> {
    let opened = PathFd::new(path).map_err(|error| error.to_string())?;
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V9) };
    rules.add_rule(PathBeneath::new(opened, access)).map_err(|error| error.to_string())
}
