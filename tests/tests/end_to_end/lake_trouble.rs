use std::fs;

use tests::{Site, lake};

const QUICK_REPLAY: &str =
    concat!(include_str!("../../../examples/replay.yaml"), "\nstore: { age_secs: 1, age_secs_max: 1 }\n");

#[test]
fn an_unwritable_lake_holds_rows_up_and_loses_none() {
    let site = Site::new(QUICK_REPLAY);
    // Where a dataset's directory should be: not even root can write below it.
    let obstacle = site.lake().join("readings");
    fs::create_dir_all(site.lake()).unwrap();
    fs::write(&obstacle, "in the way").unwrap();

    let up = site.up();
    site.replay(lake::series()).ended().well();
    let said = up.says("rows stay queued");
    assert!(said.contains(&obstacle.display().to_string()), "{said}");
    assert_ne!(site.queues()["queues"]["store"]["frames"], 0);

    fs::remove_file(&obstacle).unwrap();
    site.wait_until_dry();
    lake::holds_exactly(&site.lake(), &lake::series());
    up.terminate();
    up.ended().well();
}
