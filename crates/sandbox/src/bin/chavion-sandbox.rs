//! Runs one shell script confined and prints how it ended as JSON: to see what this kernel can do.
//! Also the launcher of programs whose `main` is not their own, such as tests.

use sandbox::{End, Sandbox, Spec};
use serde_json::json;
use std::{io::Write, process::ExitCode};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    sandbox::init_if_asked();
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(script), None) = (args.next(), args.next(), args.next()) else {
        let _ = writeln!(std::io::stderr(), "usage: chavion-sandbox FOLDER SCRIPT");
        return ExitCode::from(64);
    };
    run(&Spec::script(folder, script))
}

#[tokio::main(flavor = "current_thread")]
async fn run(spec: &Spec) -> ExitCode {
    let (told, code) = match Sandbox::default().run(spec, &CancellationToken::new()).await {
        Ok(ended) => {
            let told = json!({
                "end": ended.end,
                "stdout": ended.stdout.text(),
                "stderr": ended.stderr.text(),
                "cut_bytes": [ended.stdout.cut, ended.stderr.cut],
                "wall_ms": u64::try_from(ended.wall.as_millis()).unwrap_or(u64::MAX),
                "cpu_ms": u64::try_from(ended.cpu.as_millis()).unwrap_or(u64::MAX),
                "peak_bytes": ended.peak_bytes,
                "layers": ended.layers,
            });
            (told, u8::from(ended.end != End::Code(0)))
        }
        Err(error) => (json!({"error": error.to_string()}), 2),
    };
    let _ = writeln!(std::io::stdout(), "{told}");
    ExitCode::from(code)
}
