//! The emulator as a process of its own.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    emulator::run().await
}
