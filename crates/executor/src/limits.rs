//! The variable `COMMAND_LIMITS`: pairs of a name that ends in its unit and a number.

use sandbox::Limits;
use std::time::Duration;

/// What each limit stands for, in one line.
pub(crate) const ABOUT: &str = "the most that a command may use up: time, processor time of its whole tree, memory of its whole tree, \
     processes, size of a file, open files, and what is kept of each of its outputs";
/// The limits in force when nothing else is said.
pub(crate) const DEFAULT: &str =
    "wall_seconds=3600,cpu_seconds=600,memory_mib=1024,processes=256,file_mib=512,open_files=1024,output_kib=256";

/// Reads the pairs over the defaults.
pub(crate) fn parse(text: &str) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for pair in [DEFAULT, text].into_iter().flat_map(|pairs| pairs.split(',')).map(str::trim) {
        if pair.is_empty() {
            continue;
        }
        let (name, number) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no pair"))?;
        let number = number.trim().parse::<u32>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{} is not a whole number above 0", name.trim()))?;
        set(&mut limits, name.trim(), number)?;
    }
    Ok(limits)
}

fn set(limits: &mut Limits, name: &str, number: u32) -> Result<(), String> {
    let wide = u64::from(number);
    match name {
        "wall_seconds" => limits.wall = Duration::from_secs(wide),
        "cpu_seconds" => limits.cpu_seconds = wide,
        "memory_mib" => limits.memory_bytes = wide << 20,
        "processes" => limits.processes = wide,
        "file_mib" => limits.file_bytes = wide << 20,
        "open_files" => limits.open_files = wide,
        // What is kept goes into a row and from there into prompts.
        "output_kib" if number <= 16 << 10 => {
            limits.output_bytes = usize::try_from(wide << 10).map_err(|_| "output_kib is too large".to_owned())?;
        }
        "output_kib" => return Err("output_kib is above 16384".to_owned()),
        _ => return Err(format!("{name:?} is no limit")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_stand_over_the_defaults() {
        let limits = parse(" memory_mib=64 , output_kib=1,").unwrap();
        assert_eq!((limits.memory_bytes, limits.output_bytes, limits.processes), (64 << 20, 1024, 256));
        for wrong in ["memory", "memory_mib=0", "memory_mib=-1", "memory_mib=1GB", "시간=1", "output_kib=99999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
