//! pulpo as its users have it: handlers, a queue, a worker, a command line.

mod jobs;
mod life;
mod publishing;
