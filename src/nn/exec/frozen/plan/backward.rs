//! The way back: every value's gradient is the sum of its readers' contributions, the last of which gates it.

use super::{Builder, Ending, GRAPH_INPUT, Place, Step, Task};
use crate::nn::exec::frozen::units::{ConvUnit, Unit, UnitKind};
use crate::nn::graph::NodeId;

impl Builder<'_> {
    pub(super) fn plan_backward(&mut self) {
        for target in self.targets.clone() {
            let (place, last) = self.contribute(target, self.seed_moment()).0;
            if last {
                let unit = self.units.units.iter().position(|unit| unit.output == target).unwrap_or(0);
                self.gate(unit, target, place);
            }
        }
        let units = self.units;
        for (index, unit) in units.units.iter().enumerate().rev() {
            let moment = self.backward_moment(index);
            let source = self.gradient(unit.output, moment);
            match &unit.kind {
                UnitKind::Conv(conv) => self.plan_conv_backward(index, unit, conv, source),
                UnitKind::MaxPool(_) => self.plan_pool_backward(index, unit, source),
                UnitKind::Op if self.is_placed_concat(unit) => {
                    for &part in &unit.inputs {
                        let ((place, _), _) = self.contribute(part, moment);
                        if !self.values[&part].gated_with_concat {
                            self.gate(index, part, place);
                        }
                    }
                }
                UnitKind::Op => self.plan_op_backward(index, unit, source),
            }
        }
        let buffer = self.gradient(GRAPH_INPUT, self.end()).buffer;
        self.layout.touch(buffer, self.end());
    }

    /// The place of a value's gradient.
    fn gradient(&mut self, value: NodeId, moment: usize) -> Place {
        if let Some(place) = self.values[&value].d_place {
            self.layout.touch(place.buffer, moment);
            return place;
        }
        let maps = self.maps(value);
        let place = match self.inside.get(&value).copied() {
            Some((concat, channel)) => Place { channel, maps, ..self.gradient(concat, moment) },
            None => self.own_place(value, moment),
        };
        self.set_gradient(value, place);
        place
    }

    fn set_gradient(&mut self, value: NodeId, place: Place) {
        if let Some(value) = self.values.get_mut(&value) {
            value.d_place = Some(place);
        }
    }

    /// Books a contribution to a value's gradient: its place, whether it is the last, and whether it is the first.
    fn contribute(&mut self, value: NodeId, moment: usize) -> ((Place, bool), bool) {
        let first = self.values[&value].d_place.is_none();
        let place = self.gradient(value, moment);
        let state = self.values.get_mut(&value).expect("every value was placed by the forward plan");
        state.remaining -= 1;
        ((place, state.remaining == 0), first)
    }

    /// How a contribution ends: the last one applies the activation's mask.
    fn ending(&self, value: NodeId, last: bool) -> Ending {
        self.values[&value].bits.filter(|_| last).map_or(Ending::Plain, Ending::Gate)
    }

    /// Applies the activation's mask to a gradient that is complete, in place.
    fn gate(&mut self, unit: usize, value: NodeId, place: Place) {
        let ending = self.ending(value, true);
        if ending != Ending::Plain {
            let task = Task::Finish { source: place, target: place, add: None, ending };
            self.backward.push(Step { unit, task });
        }
    }

    fn plan_conv_backward(&mut self, index: usize, unit: &Unit, conv: &ConvUnit, source: Place) {
        let moment = self.backward_moment(index);
        let mut gate_later = None;
        if let Some(residual) = conv.residual {
            let may_share = self.values[&residual].d_place.is_none()
                && residual != unit.inputs[0]
                && !self.inside.contains_key(&residual)
                && !self.inside.contains_key(&unit.output)
                && self.roomy.contains(&residual) == self.roomy.contains(&unit.output);
            if may_share {
                // The gradient of a sum is that of its terms: the residual's goes on in the same memory.
                self.set_gradient(residual, source);
            }
            let ((place, last), first) = self.contribute(residual, moment);
            if may_share {
                gate_later = last.then_some((residual, place));
            } else {
                let task = Task::Finish {
                    source,
                    target: place,
                    add: (!first).then_some(place),
                    ending: self.ending(residual, last),
                };
                self.backward.push(Step { unit: index, task });
            }
        }
        let input = unit.inputs[0];
        let ((target, last), first) = self.contribute(input, moment);
        let add = (!first).then_some(target);
        let gates = conv.conv.gates_inputs();
        let ending = self.ending(input, last && gates);
        self.backward.push(Step { unit: index, task: Task::ConvBackward { source, target, add, ending } });
        if last && !gates {
            self.gate(index, input, target);
        }
        if let Some((residual, place)) = gate_later {
            self.gate(index, residual, place);
        }
    }

    fn plan_pool_backward(&mut self, index: usize, unit: &Unit, source: Place) {
        let input = unit.inputs[0];
        let ((target, last), first) = self.contribute(input, self.backward_moment(index));
        let task = Task::PoolBackward {
            source,
            target,
            add: (!first).then_some(target),
            ending: self.ending(input, last),
            winners: self.saved[index].span.buffer,
        };
        self.backward.push(Step { unit: index, task });
    }

    fn plan_op_backward(&mut self, index: usize, unit: &Unit, d_output: Place) {
        let keeps = self.keeps(unit);
        let moment = self.backward_moment(index);
        let mut d_inputs: Vec<Place> = Vec::new();
        let mut endings = Vec::new();
        for (k, &input) in unit.inputs.iter().enumerate() {
            let ((place, last), first) = self.contribute(input, moment);
            if unit.inputs[..k].contains(&input) {
                // The same value twice: a kernel must not add to one place through two references.
                let buffer = self.layout.add(place.maps.iter().product(), moment);
                let apart = Place { buffer, ..place };
                self.backward.push(Step { unit: index, task: Task::Zero(self.span(apart)) });
                d_inputs.push(apart);
                let task = Task::Finish { source: apart, target: place, add: Some(place), ending: Ending::Plain };
                endings.push(Step { unit: index, task });
            } else {
                if first {
                    self.backward.push(Step { unit: index, task: Task::Zero(self.span(place)) });
                }
                d_inputs.push(place);
            }
            if last {
                let ending = self.ending(input, true);
                if ending != Ending::Plain {
                    let task = Task::Finish { source: place, target: place, add: None, ending };
                    endings.push(Step { unit: index, task });
                }
            }
        }
        let kept = |value: &NodeId| self.span(self.values[value].place);
        let task = Task::OpBackward {
            inputs: unit.inputs.iter().map(|input| keeps.inputs.then(|| kept(input))).collect(),
            output: keeps.output.then(|| kept(&unit.output)),
            saved: self.saved[index],
            d_output: self.span(d_output),
            d_inputs: d_inputs.iter().map(|&place| self.span(place)).collect(),
        };
        self.backward.push(Step { unit: index, task });
        self.backward.extend(endings);
    }
}
