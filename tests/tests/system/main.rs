//! pulpo as its users have it: handlers, a queue, a worker, a command line.

mod architecture;
mod bad_queues;
mod cli;
mod damage;
mod jobs;
mod life;
mod logs;
mod newcomer;
mod outages;
mod processes;
mod publishing;
<<<<<<< HEAD
mod time;
=======
mod torture;
>>>>>>> 1aafa76 (Torture both queues with kills, and verify each job against a ledger)
