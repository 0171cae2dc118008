//! Forks while it has a queue open, as a web server that forks its workers does: `forking SCENARIO
//! FOLDER`. It writes the child's results, line by line, to the file `child` of the current folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{DequeueFilter, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Settlement};
use pulpo_tests::touch;

type Done = Result<(), Box<dyn std::error::Error>>;

fn main() -> Done {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [scenario, folder] = &arguments[..] else { return Err("expected a scenario and a folder".into()) };
    let open = || FileQueue::open(folder.as_ref(), false, Arc::new(SystemClock::new()));
    let new = || vec![NewMessage::new("pulpo", "job", "{}")];
    match &**scenario {
        // The child may open a queue that the parent has closed before.
        "closed" => {
            open()?.enqueue(new())?;
            fork_and_wait(|| Ok(vec![open()?.enqueue(new())?.remove(0).id.to_string()]))
        }
        // The parent continues while the child makes calls.
        "asks" => {
            let queue = open()?;
            queue.enqueue(new())?;
            let mut consumer = queue.consumer(&["pulpo".to_owned()])?;
            let lease = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO)?.ok_or("a message")?.lease;
            fork_and_wait(|| {
                let pulpo =
                    Pulpo::with_queue(Arc::new(queue.clone()), Default::default(), Arc::new(SystemClock::new()));
                let mut told = vec![
                    said(queue.enqueue(new())),
                    said(queue.stats()),
                    said(queue.list(&Filter::all())),
                    said(queue.delete(&Filter::all())),
                    said(queue.kick(&Filter::all())),
                    said(queue.pause("pulpo", Duration::from_secs(1))),
                    said(queue.backup("copy.db".as_ref())),
                    said(queue.consumer(&["pulpo".to_owned()]).map(drop)),
                    said(consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(60))),
                    said(touch(&mut *consumer, &lease)),
                    said(consumer.settle(&lease, &mut Settlement::deferrable_commit())),
                    said(consumer.settle(&lease, &mut Settlement::commit())),
                    said(consumer.flush()),
                    said(open()),
                    said(FileQueue::open_existing(folder.as_ref(), false, Arc::new(SystemClock::new()))),
                    said(pulpo.queue().stats()),
                ];
                queue.interrupt();
                drop(pulpo);
                // A queue in memory belongs to the child.
                let memory = FileQueue::memory(false, Arc::new(SystemClock::new()))?;
                told.push(memory.enqueue(new())?.remove(0).id.to_string());
                Ok(told)
            })?;
            consumer.settle(&lease, &mut Settlement::commit())?;
            queue.enqueue(new())?;
            Ok(())
        }
        // Other threads of the parent hold its locks at the moment of the fork.
        "threads" => {
            let queue = open()?;
            let over = Arc::new(AtomicBool::new(false));
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (queue, over) = (queue.clone(), over.clone());
                    std::thread::spawn(move || {
                        while !over.load(Ordering::SeqCst) {
                            queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}")]).expect("published");
                        }
                    })
                })
                .collect();
            for _ in 0..20 {
                fork_and_wait(|| Ok(vec![said(queue.enqueue(new())), said(open())]))?;
            }
            over.store(true, Ordering::SeqCst);
            for thread in threads {
                thread.join().map_err(|_| "a thread panicked")?;
            }
            Ok(())
        }
        // The parent ends at once; the child lives on and makes calls again and again.
        "orphan" => {
            let queue = open()?;
            queue.enqueue(new())?;
            match fork()? {
                Fork::Parent(_) => std::process::exit(0),
                Fork::Child => {
                    while !std::path::Path::new("go").exists() {
                        std::thread::park_timeout(Duration::from_millis(1));
                        assert!(matches!(queue.enqueue(new()), Err(QueueError::Forked { .. })));
                        assert!(matches!(queue.stats(), Err(QueueError::Forked { .. })));
                    }
                    drop(queue);
                    tell(&["it ended well".to_owned()])
                }
            }
        }
        other => Err(format!("no scenario {other}").into()),
    }
}

fn said<T: std::fmt::Debug>(result: Result<T, QueueError>) -> String {
    match result {
        Err(error @ QueueError::Forked { .. }) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {reason}")
        }
        other => format!("expected to be refused, got {other:?}"),
    }
}

fn tell(lines: &[String]) -> Done {
    Ok(std::fs::write("child", lines.join("\n"))?)
}

/// Lets a child report its results, and waits for its end.
fn fork_and_wait(child: impl FnOnce() -> Result<Vec<String>, Box<dyn std::error::Error>>) -> Done {
    match fork()? {
        Fork::Child => {
            let told = child().or_else(|error| Ok::<_, std::io::Error>(vec![error.to_string()]))?;
            tell(&told)?;
            std::process::exit(0)
        }
        Fork::Parent(id) => match waitpid(id)? {
            0 => Ok(()),
            status => Err(format!("the child ended with {status}").into()),
        },
    }
}
