//! rusty-sidekiq on Redis.

use async_trait::async_trait;
use beside_common::{Email, Framework, Settings, handle};
use sidekiq::{Processor, ProcessorConfig, RedisConnectionManager, RedisPool, Worker};

struct EmailWorker;

#[async_trait]
impl Worker<Email> for EmailWorker {
    async fn perform(&self, email: Email) -> sidekiq::Result<()> {
        handle(email).await;
        Ok(())
    }
}

struct Sidekiq {
    url: String,
    settings: Settings,
    pool: RedisPool,
}

async fn pool(url: &str, settings: Settings, connections: u32) -> RedisPool {
    let manager = RedisConnectionManager::new(url).expect("a URL");
    let builder = bb8::Pool::builder();
    let builder = match settings {
        Settings::Defaults => builder,
        // Without a PING before each use, and with a connection for each user.
        Settings::Fastest | Settings::Synced => builder.max_size(connections).test_on_check_out(false),
    };
    builder.build(manager).await.expect("a pool")
}

impl Framework for Sidekiq {
    type Publisher = RedisPool;

    async fn open(place: &str, settings: Settings) -> Self {
        Self { url: place.to_owned(), settings, pool: pool(place, settings, 16).await }
    }

    fn publisher(&self) -> RedisPool {
        self.pool.clone()
    }

    async fn publish(pool: &mut RedisPool, email: Email) {
        EmailWorker::opts().perform_async(pool, email).await.expect("published");
    }

    async fn publish_all(_: &mut RedisPool, _: Vec<Email>) -> Option<()> {
        None
    }

    async fn work(&self, lanes: usize) {
        let (workers, pool) = match self.settings {
            Settings::Defaults => (lanes, self.pool.clone()),
            // A pool of its own, as its documentation recommends.
            Settings::Fastest | Settings::Synced => {
                let workers = if lanes > 1 { 64 } else { 1 };
                (workers, pool(&self.url, self.settings, 2 * workers as u32 + 4).await)
            }
        };
        let config = ProcessorConfig::default().num_workers(workers);
        let mut processor = Processor::new(pool, vec!["default".to_owned()]).with_config(config);
        processor.register(EmailWorker);
        tokio::spawn(processor.run());
    }
}

fn main() {
    beside_common::main::<Sidekiq>();
}
