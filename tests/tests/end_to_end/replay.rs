use tests::{Site, lake};

const REPLAY: &str = include_str!("../../../examples/replay.yaml");

#[test]
fn recorded_series_come_out_row_for_row() {
    let site = Site::new(REPLAY);
    let up = site.up();
    let report = site.replay(lake::series()).ended().well().json();
    assert_eq!(report["published"], report["acknowledged"]);
    up.terminate();
    up.ended().well();
    assert_eq!(lake::holds_exactly(&site.lake(), &lake::series()), 35);
}

#[test]
fn a_second_replay_adds_nothing() {
    let site = Site::new(REPLAY);
    for _ in 0..2 {
        let up = site.up();
        site.replay(lake::series()).ended().well();
        up.terminate();
        up.ended().well();
    }
    lake::holds_exactly(&site.lake(), &lake::series());
}
