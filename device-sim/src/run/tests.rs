use super::share_of;

#[test]
fn shares_add_up() {
    for total in [0, 1, 7, 100, u64::MAX] {
        for parts in [1, 3, 8] {
            let shares: Vec<u64> = (0..parts).map(|part| share_of(total, part, parts)).collect();
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares[0] - shares[shares.len() - 1] <= 1);
        }
    }
}
