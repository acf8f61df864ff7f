//! In which order objects of a packet become rows: behind those that they refer to, and those of a type together.

use super::Left;
use foldhash::HashMap;

/// Objects behind those that they refer to, as far as there is such an order; else as they came.
pub(super) fn targets_first(objects: Vec<Left<'_>>) -> Vec<Left<'_>> {
    let places: HashMap<(&str, &str), usize> =
        objects.iter().enumerate().map(|(n, left)| ((&*left.object.kind, &*left.object.uuid), n)).collect();
    let targets: Vec<Vec<usize>> =
        objects.iter().map(|left| left.targets().filter_map(|name| places.get(&name).copied()).collect()).collect();
    drop(places);
    // How many references lie below; `None`: not looked at yet.
    let mut depths: Vec<Option<usize>> = vec![None; objects.len()];
    let (mut order, mut seen) = (Vec::with_capacity(objects.len()), vec![false; objects.len()]);
    for first in 0..objects.len() {
        // A place on the way, and whether what it refers to has been looked at.
        let mut way = vec![(first, false)];
        while let Some((place, is_next)) = way.pop() {
            if is_next {
                let below = targets[place].iter().filter_map(|target| depths[*target]).max();
                depths[place] = Some(below.map_or(0, |depth| depth + 1));
                order.push(place);
            } else if !std::mem::replace(&mut seen[place], true) {
                way.push((place, true));
                way.extend(targets[place].iter().map(|target| (*target, false)));
            }
        }
    }
    order.sort_by_key(|place| (depths[*place], &objects[*place].plan.kind));
    let mut objects: Vec<Option<Left<'_>>> = objects.into_iter().map(Some).collect();
    order.into_iter().filter_map(|place| objects[place].take()).collect()
}

impl Left<'_> {
    /// What it refers to.
    fn targets(&self) -> impl Iterator<Item = (&str, &str)> {
        let data = self.object.data.as_deref();
        self.plan.columns.iter().filter_map(move |column| column.target(data?))
    }
}
