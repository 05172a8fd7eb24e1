use super::*;

fn list(arrays: Vec<Param>) -> ParamList {
    ParamList { arrays, ..ParamList::default() }
}

fn param(shape: &[usize], data: &[f32]) -> Param {
    Param { shape: shape.to_vec(), data: data.into() }
}

fn spec(name: &str, shape: &[usize], role: ParamRole) -> ParamSpec {
    ParamSpec { name: name.into(), shape: shape.to_vec(), role }
}

fn slots() -> Vec<ParamSpec> {
    vec![
        spec("conv.weight", &[1, 1, 2, 2], ParamRole::Weight),
        spec("bn.weight", &[1], ParamRole::Gamma),
        spec("bn.bias", &[1], ParamRole::Beta),
        spec("bn.running_mean", &[1], ParamRole::Mean),
        spec("bn.running_var", &[1], ParamRole::Variance),
        spec("fc.weight", &[3, 2], ParamRole::Weight),
        spec("fc.bias", &[3], ParamRole::Bias),
    ]
}

fn arrays() -> Vec<Param> {
    vec![
        param(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]),
        param(&[1], &[0.25]), // beta
        param(&[1], &[3.0]),  // gamma
        param(&[1], &[7.0]),
        param(&[1], &[0.5]), // 1 / deviation
        param(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        param(&[3], &[7.0, 8.0, 9.0]),
    ]
}

#[test]
fn arrays_become_the_parameters_of_a_net() {
    let convention = Convention { flips_filters: false, epsilon: 0.5 };
    let got = assign(&list(arrays()), &slots(), convention).unwrap();
    assert_eq!(*got["conv.weight"].data, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!((got["bn.weight"].data[0], got["bn.bias"].data[0], got["bn.running_mean"].data[0]), (3.0, 0.25, 7.0));
    assert_eq!(got["bn.running_var"].data[0], 3.5);
    assert_eq!(got["fc.weight"], param(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    let flipped = assign(&list(arrays()), &slots(), Convention { flips_filters: true, ..convention }).unwrap();
    assert_eq!(*flipped["conv.weight"].data, [4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn lists_that_do_not_fit_are_told() {
    let convention = Convention { flips_filters: false, epsilon: 0.0 };
    let error = assign(&list(arrays()[..6].to_vec()), &slots(), convention).unwrap_err().to_string();
    assert_eq!(error, "the file lists 6 arrays, and the net has 7 parameters");
    let mut wrong = arrays();
    wrong[5] = param(&[3, 2], &[0.0; 6]);
    let error = assign(&list(wrong), &slots(), convention).unwrap_err().to_string();
    assert_eq!(error, "`fc.weight`: array 5 of the list gives it the shape [2, 3]; it should be [3, 2]");
}

#[test]
fn names_of_architectures() {
    let cases = [
        ("VGG16", "vgg16"),
        ("nin-cifar10", "nin_cifar10"),
        ("resnet32-cifar10", "resnet32_cifar10"),
        ("resnet110_cifar10", "resnet110_cifar10"),
    ];
    for (name, expected) in cases {
        assert_eq!(zoo::named(name).unwrap().name(), expected);
    }
    for name in ["resnet33_cifar10", "resnet2_cifar10", "resnet_cifar10", "alexnet"] {
        assert!(zoo::named(name).err().unwrap().to_string().contains("nin_cifar10, resnet32_cifar10"), "{name}");
    }
}

/// The shapes that the zoo's programs build, first and last and in number.
#[test]
fn nets_of_the_zoo_take_lists_of_their_length() {
    let cases = [
        ("vgg16", 32, vec![64, 3, 3, 3]),
        ("vgg19", 38, vec![64, 3, 3, 3]),
        ("vgg_cnn_s", 16, vec![96, 3, 7, 7]),
        ("caffe_reference", 22, vec![96, 3, 11, 11]),
        ("googlenet", 116, vec![64, 3, 7, 7]),
        ("resnet50", 268, vec![64, 3, 7, 7]),
        ("nin", 24, vec![96, 3, 11, 11]),
        ("nin_cifar10", 18, vec![192, 3, 5, 5]),
        ("resnet32_cifar10", 157, vec![16, 3, 3, 3]),
    ];
    for (name, length, first) in cases {
        // Shapes alone, without numbers. They are learnt from what the net asks for, one after the other.
        let mut arrays = vec![param(&first, &[])];
        let model = zoo::named(name).unwrap();
        let mut asked = Vec::new();
        for _ in 0..length {
            match model.draw(&arrays) {
                Ok(_) => break,
                Err(error) => asked.push(error.to_string()),
            }
            // A shape that fits nothing makes the next error name the one that does.
            arrays.push(param(&[0, 0, 0], &[]));
            let error = model.draw(&arrays).err().unwrap().to_string();
            let shape: Vec<usize> = match error.split_once("it should be [") {
                Some((_, shape)) => shape.trim_end_matches(']').split(", ").map(|dim| dim.parse().unwrap()).collect(),
                None => panic!("{name}: {error}"),
            };
            // Fully connected weights are listed as (in, out); the classifier has as many classes as it likes.
            let shape = match shape.as_slice() {
                &[out, inputs] => vec![inputs, if out == 0 { 10 } else { out }],
                &[out] => vec![if out == 0 { 10 } else { out }],
                other => other.to_vec(),
            };
            *arrays.last_mut().unwrap() = param(&shape, &[]);
        }
        assert!(model.draw(&arrays).is_ok(), "{name}: {asked:?}");
        assert_eq!(arrays.len(), length, "{name}");
        arrays.push(param(&[1], &[0.0]));
        assert!(model.draw(&arrays).err().unwrap().to_string().contains(&format!("has {length}")), "{name}");
    }
}

/// Arrays that share one string of bytes cannot make more of it than the file is long.
#[test]
fn arrays_that_share_their_bytes_are_bounded() {
    let pickle = |arrays: usize| {
        let count = 1u32 << 18;
        let mut pickle = b"\x80\x03B".to_vec();
        pickle.extend((4 * count).to_le_bytes());
        pickle.resize(pickle.len() + 4 * count as usize, 0);
        pickle.extend(b"q\x000cnumpy\ndtype\n(X\x02\0\0\0f4tRq\x010](");
        for _ in 0..arrays {
            pickle.extend(b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J");
            pickle.extend(count.to_le_bytes());
            pickle.extend(b"\x85h\x01\x89h\x00tb");
        }
        pickle.extend(b"e.");
        pickle
    };
    assert_eq!(ParamList::read(&pickle(3)).unwrap().arrays.len(), 3);
    let error = ParamList::read(&pickle(5000)).unwrap_err().to_string();
    assert_eq!(error, "its arrays share their bytes so often that they are not read");
}
