//! What a net sees in a picture, made ready for the screen.

use std::sync::Arc;

use super::pictures::{heat, heat_image};
use super::sheets::Plan;
use super::worker::Outlet;
use super::{Event, Failed, FilterSheet, Image, LookOrder, Looked, Request, Seen, Sheet, picture_of};
use crate::base::text::one_line;
use crate::imageio::Picture;
use crate::nn::graph::Graph;
use crate::tasks::classify::{ClassScore, Classifier};
use crate::tasks::look::{Activations, Filters, Looker, MapScale};

/// Larger pictures are looked at smaller: what is seen has a size in pixels, and the answer should come at once.
const LONGEST_PX: usize = 512;
/// How many channels and classes are named.
const CHANNELS_SHOWN: usize = 12;
const CLASSES_SHOWN: usize = 8;

/// Looks at pictures on one thread, with the nets that it looked through last kept ready.
#[derive(Default)]
pub struct Looks {
    looker: Option<(Arc<Graph>, String, Looker)>,
    classifier: Option<(Arc<Graph>, Result<Classifier, String>)>,
}

impl Looks {
    pub fn work(&mut self, request: Request, outlet: &Outlet) {
        let Request::Look(order) = request else { return };
        crate::base::parallel::work_in_background();
        match self.look(&order) {
            Ok(looked) => outlet.send(Event::Looked(Box::new(looked))),
            Err(sentence) => outlet.fail(Failed::Look, sentence),
        }
    }

    fn look(&mut self, order: &LookOrder) -> Result<Looked, String> {
        let of_step;
        let picture = match &order.picture {
            Seen::Photo(photo) => &photo.photo.picture,
            Seen::Step(frame) => {
                of_step = picture_of(frame);
                &of_step
            }
        };
        let activations = self.activations(order, picture)?;
        let firings = match order.at {
            Some([x, y]) => activations.strongest_at(x, y, CHANNELS_SHOWN),
            None => activations.strongest(CHANNELS_SHOWN),
        };
        let maps = firings.iter().map(|firing| map_image(&activations, firing.channel)).collect();
        Ok(Looked {
            number: order.number,
            layer: order.layer.clone(),
            at: order.at,
            maps,
            firings,
            classes: self.classes(&order.graph, picture),
            sheet: order.with_maps.then(|| map_sheet(&activations)),
        })
    }

    fn activations(&mut self, order: &LookOrder, picture: &Picture) -> Result<Activations, String> {
        let is_ready = |(graph, layer, _): &(Arc<Graph>, String, Looker)| {
            Arc::ptr_eq(graph, &order.graph) && *layer == order.layer
        };
        if !self.looker.as_ref().is_some_and(is_ready) {
            let looker = Looker::new(order.graph.clone(), &order.layer).map_err(|error| one_line(&error))?;
            self.looker = Some((order.graph.clone(), order.layer.clone(), looker));
        }
        let Some((_, _, looker)) = &mut self.looker else { return Err(String::new()) };
        looker.look(picture, LONGEST_PX).map_err(|error| one_line(&error))
    }

    fn classes(&mut self, graph: &Arc<Graph>, picture: &Picture) -> Result<Vec<ClassScore>, String> {
        if !self.classifier.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, graph)) {
            let classifier = Classifier::new(graph.clone()).map_err(|error| one_line(&error));
            self.classifier = Some((graph.clone(), classifier));
        }
        match &mut self.classifier {
            Some((_, Ok(classifier))) => Ok(classifier.classify(picture, CLASSES_SHOWN)),
            Some((_, Err(sentence))) => Err(sentence.clone()),
            None => Ok(Vec::new()),
        }
    }
}

fn map_image(activations: &Activations, channel: usize) -> Image {
    let map = activations.map(channel, MapScale::Channel);
    heat_image(map.width, map.height, &map.pixels)
}

fn map_sheet(activations: &Activations) -> Sheet {
    let plan = Plan::new(activations.channels, [activations.height, activations.width]);
    let map = |channel| {
        let gray = plan.shrunk::<1>(&activations.map(channel, MapScale::Channel).pixels);
        gray.into_iter().flat_map(heat).collect()
    };
    plan.lay_out((0..plan.count).map(map))
}

/// The filters of a first layer as a sheet.
pub fn filter_sheet(filters: Filters) -> FilterSheet {
    let plan = Plan::new(filters.pictures.len(), filters.size);
    let sheet = plan.lay_out(filters.pictures.iter().map(|picture| plan.shrunk::<3>(picture)));
    FilterSheet { sheet, layer: filters.layer }
}
