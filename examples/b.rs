use oneiric::tasks::bench::*;
fn main() {
    let nets = std::env::args().nth(1).unwrap();
    let mut spec = BenchSpec::default();
    spec.nets.retain(|n| nets.contains(n.name()));
    spec.rounds = 5;
    run(&spec, &mut |m| println!("{}", serde_json::to_string(m).unwrap())).unwrap();
}
