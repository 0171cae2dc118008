mod jobs {}

pulpo::main! { jobs: [jobs] }

//~ jobs => cannot find value `the_attribute_pulpo_jobs_stands_on_this_module` in module `jobs`
