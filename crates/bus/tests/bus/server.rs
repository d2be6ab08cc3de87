//! A private `redis-server`, for tests that empty, kill or restart it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

/// A server on a socket in a folder of its own; ends with its owner, also by a panic.
pub(crate) struct Server {
    folder: PathBuf,
    durable: bool,
    child: Option<Child>,
}

impl Server {
    /// Starts a server that keeps its data over a restart, or not.
    pub(crate) async fn start(durable: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("bus-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let mut server = Self { folder, durable, child: None };
        server.restart().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.join("socket").display())
    }

    /// Starts it again after `kill`.
    pub(crate) async fn restart(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--daemonize", "no"])
            .args(["--appendonly", if self.durable { "yes" } else { "no" }, "--appendfsync", "always"])
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is on PATH");
        self.child = Some(child);
        testkit::until("the private Redis answers", async || self.answers().await).await;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) async fn flush(&self) {
        let mut connection = self.connection().await.unwrap();
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    }

    pub(crate) async fn connection(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.connection().await else { return false };
        redis::cmd("PING").exec_async(&mut connection).await.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
