#[pulpo::jobs]
#[path = "jobs_in_a_file/jobs.rs"]
mod jobs;

pulpo::main! { jobs: [jobs] }

//~ mod jobs;
