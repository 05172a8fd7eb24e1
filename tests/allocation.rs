//! A steady step of a session allocates nothing: neither does the heap grow, nor do pages go back and forth.
//!
//! A binary of its own, because it replaces the allocator of the whole process by one that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use oneiric::base::tensor::Shape;
use oneiric::formats::architectures::{Architecture, RandomParams};
use oneiric::formats::netfile;
use oneiric::nn::exec::{FrozenNet, Session, TrainingNet};
use oneiric::nn::graph::{ChannelOrder, NodeId, Preprocess};
use oneiric::nn::ops::{ReluRule, Run};
use oneiric::nn::optim::{Optimizer, Rates, Rule};

const WARM_UP_STEPS: usize = 5;
/// The quietest of several rounds counts: the test harness, or a thread of the pool that starts late, may allocate
/// beside them. What a step allocates, it allocates in every round.
const ROUNDS: usize = 3;
const STEPS_A_ROUND: usize = 12;

/// Work that comes from outside the thread pool goes through rayon's queue: a linked list of blocks with room for 63
/// jobs, the only thing that may be allocated.
const JOBS_A_QUEUE_BLOCK: usize = 63;
const QUEUE_BLOCK_BYTES: usize = 2048;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static LARGEST_BYTES: AtomicUsize = AtomicUsize::new(0);

fn count(bytes: usize) {
    COUNT.fetch_add(1, Relaxed);
    LARGEST_BYTES.fetch_max(bytes, Relaxed);
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller vouches; so below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn step(session: &mut Session, target: NodeId) {
    session.input_mut().fill(0.5);
    session.forward();
    let (blob, seed) = session.blob_and_seed(target);
    seed.copy_from_slice(blob.data);
    session.backward(ReluRule::Gradient);
}

/// Allocations of a round of steady steps.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Allocations {
    count: usize,
    largest_bytes: usize,
}

fn steady_allocations(architecture: Architecture, layer: &str) -> Allocations {
    let blueprint = architecture.blueprint(10).up_to(layer).unwrap();
    let graph = Arc::new(blueprint.build(&mut RandomParams::new(0), Vec::new()).unwrap());
    let target = graph.find(layer).unwrap();
    let frozen = FrozenNet::new(graph, &[target]);
    let mut session = frozen.session(&Shape::maps(1, 3, 48, 48), true, None).unwrap();
    for _ in 0..WARM_UP_STEPS {
        step(&mut session, target);
    }
    quietest_round(|| step(&mut session, target))
}

fn steady_training_allocations(net_file: &str) -> Allocations {
    let imported = netfile::read(net_file).unwrap();
    let channels = imported.net.shape(0).unwrap().dims()[1];
    let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
    let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
    let graph = Arc::new(imported.net.finish("net", preprocess, imported.labels).unwrap());
    let mut net = TrainingNet::new(graph.clone(), graph.logits(), |_| true);
    let mut session = net.session(&graph.native_input_shape(8)).unwrap();
    let mut optimizer = Optimizer::new(Rule::ADAM);
    let mut step = || {
        session.input_mut().fill(0.5);
        session.forward(&mut net, Run::default());
        let (output, seed) = session.output_and_seed();
        seed.copy_from_slice(output.data);
        session.backward(&mut net);
        net.update(&mut optimizer, |_| Rates { learning: 1e-5, decay: 0.0 });
    };
    (0..WARM_UP_STEPS).for_each(|_| step());
    quietest_round(step)
}

/// Allocations of the quietest of some rounds.
fn quietest_round(mut step: impl FnMut()) -> Allocations {
    let mut round = |_| {
        COUNT.store(0, Relaxed);
        LARGEST_BYTES.store(0, Relaxed);
        (0..STEPS_A_ROUND).for_each(|_| step());
        Allocations { count: COUNT.load(Relaxed), largest_bytes: LARGEST_BYTES.load(Relaxed) }
    };
    (0..ROUNDS).map(&mut round).min().unwrap()
}

/// One test: another one beside it would add its own allocations.
#[test]
fn steady_steps_allocate_nothing_but_blocks_of_rayons_queue() {
    let jobs = 2 * STEPS_A_ROUND;
    let allowed = jobs.div_ceil(JOBS_A_QUEUE_BLOCK);
    let mut failures = Vec::new();
    for (architecture, layer) in [
        (Architecture::SqueezeNet1_1, "softmax"),
        (Architecture::ResNet18, "layer2"),
        (Architecture::GoogLeNet, "inception3b"),
    ] {
        let Allocations { count, largest_bytes } = steady_allocations(architecture, layer);
        if count > allowed || largest_bytes > QUEUE_BLOCK_BYTES {
            failures.push(format!(
                "{architecture} to {layer}: {count} allocations in {STEPS_A_ROUND} steps, up to {largest_bytes} bytes"
            ));
        }
    }
    // Two jobs as above, and one for each parameter that is long enough for several tasks.
    let allowed = (8 * STEPS_A_ROUND).div_ceil(JOBS_A_QUEUE_BLOCK);
    for net_file in [include_str!("../assets/nets/lenet.net"), include_str!("../assets/nets/cifar10-quick.net")] {
        let Allocations { count, largest_bytes } = steady_training_allocations(net_file);
        // Without BLAS, products of matrices in Rust pack their operands into memory of their own.
        if cfg!(any(feature = "openblas", feature = "accelerate"))
            && (count > allowed || largest_bytes > QUEUE_BLOCK_BYTES)
        {
            let name = net_file.lines().next().unwrap_or_default();
            failures.push(format!("{name}: {count} allocations in {STEPS_A_ROUND} steps, up to {largest_bytes} bytes"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
