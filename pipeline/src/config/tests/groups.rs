//! Stages that are to be run as one hop.

use super::*;

#[test]
fn groups_are_adjacent_stages_in_their_order() {
    check(&[
        ("groups: []\n", &[]),
        ("groups: [[validate, transform]]\n", &[]),
        ("groups: [[analyze, alert], [validate, transform]]\n", &[]),
        (
            "groups: [[validate]]\n",
            &[
                "1:10: groups[0]: a hop has at least two stages; leave the group out: a stage in none is run by itself",
            ],
        ),
        (
            "groups: [[validate, alert]]\n",
            &[
                "1:21: groups[0][1]: alert does not read what validate sends on; groups are [validate, transform] and [analyze, alert]",
            ],
        ),
        (
            "groups: [[alert, analyze]]\n",
            &[
                "1:18: groups[0][1]: analyze does not read what alert sends on; groups are [validate, transform] and [analyze, alert]",
            ],
        ),
        (
            "groups:\n  - [analyze, alert]\n  - [analyze, alert]\n",
            &[
                "3:6: groups[1][0]: analyze is in a group already; a stage is in one at most, and once",
                "3:15: groups[1][1]: alert is in a group already; a stage is in one at most, and once",
            ],
        ),
    ]);
}

#[test]
fn no_group_goes_on_where_readings_are_sorted_into_lanes() {
    check(&[(
        "groups: [[validate, transform, analyze, alert]]\n",
        &[
            "1:32: groups[0][2]: analyze cannot be in one hop with transform, which sorts readings into the lanes of their devices: begin another group with it",
        ],
    )]);
}

#[test]
fn other_stages_are_in_no_group() {
    check(&[
        (
            "groups: [[alert, store]]\n",
            &["1:18: groups[0][1]: expected one of validate, transform, analyze and alert, got \"store\""],
        ),
        (
            "groups: [[validate, transfrom]]\n",
            &[
                "1:21: groups[0][1]: expected one of validate, transform, analyze and alert, got \"transfrom\"; did you mean transform?",
            ],
        ),
        (
            "groups: [validate, transform]\n",
            &[
                "1:10: groups[0]: expected a list, got \"validate\"",
                "1:20: groups[1]: expected a list, got \"transform\"",
            ],
        ),
    ]);
}
