//! Why a job waits, where limits are the reason.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::{Served, WORKER};

#[test]
fn a_job_says_that_a_limit_of_its_type_or_its_queue_is_reached() {
    let place = Sandbox::new();
    let file = place.path("go").display().to_string();
    for _ in 0..2 {
        let said = place.run(WORKER, &["publish", "until", "--payload", &file]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let worker = place.start(place.command(WORKER, &["work", "--concurrency", "1"]));
    let cases = [
        ("", "waits for a worker"),
        ("[handlers.until]\nlimit = 2\n", "waits for a worker"),
        ("[handlers.until]\nlimit = 1\n", "at its limit: 1 of at most 1 jobs of its type are running"),
        ("[queues.pulpo]\nlimit = 1\n", "at its limit: 1 of at most 1 jobs of its queue are running"),
        (
            "[queues.pulpo]\nlimit = 2\nrate = \"9/1s\"\n",
            "waits for a worker, or for its limit: rate 9/1s for its queue",
        ),
        ("[queues.other]\nlimit = 1\n", "waits for a worker"),
    ];
    for (config, expected) in cases {
        std::fs::write(place.path("pulpo.toml"), config).expect("written");
        let served = Served::start(&place, &[], &[]);
        // Until the job runs and its worker has reported itself, another reason is shown.
        let mut shown = String::new();
        until(expected, || {
            let page = served.page("/jobs/2");
            let state = page.split("<dt>State</dt><dd>").nth(1).and_then(|rest| rest.split("</dd>").next());
            shown = state.expect("a state").to_owned();
            served.page("/jobs/1").contains("running; its lease ends") && shown.ends_with(&format!(" {expected}"))
        });
        assert!(shown.starts_with("<span class=\"state ready\">ready</span>"), "{config}: {shown}");
    }
    std::fs::write(&file, "").expect("written");
    drop(worker);
}
