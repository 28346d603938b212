//! Numbered slots whose tenants are told apart by generation.

use crate::net::token::Token;

/// Values in numbered slots, each named by a [`Token`] that dies with it.
///
/// Free slots are used again first, so the slab is as long as the most values it ever held
/// at once. It grows by pages: growth moves no value, takes no longer with a million than
/// with ten, and wastes half a page on average. A slot that has had 2^32 - 1 values is not used
/// again, so that no name comes back.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Box<Page<T>>>,
    free: Vec<u32>,
    len: usize,
}

/// How many slots a page has.
const PAGE: usize = 32;

#[derive(Debug)]
struct Page<T> {
    /// The generation of each tenant, or of the next one where a slot is free. Beside the
    /// tenants they would cost eight bytes each.
    generations: [u32; PAGE],
    tenants: [Option<T>; PAGE],
    /// How many tenants there are.
    len: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { pages: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Stores a value and names it.
    ///
    /// # Panics
    /// With more than 2^32 values.
    pub fn insert(&mut self, value: T) -> Token {
        if self.free.is_empty() {
            self.grow();
        }
        let slot = self.free.pop().expect("a page of free slots");
        let (page, place) = (&mut self.pages[slot as usize / PAGE], slot as usize % PAGE);
        page.tenants[place] = Some(value);
        page.len += 1;
        self.len += 1;
        Token::new(page.generations[place], slot)
    }

    /// The value with that name, if it is still stored.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (page, place) = self.page(token)?;
        page.tenants[place].as_mut()
    }

    /// Removes the value with that name. From then on the name matches nothing.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let (page, place) = self.page(token)?;
        let tenant = page.tenants[place].take()?;
        let next = token.generation().checked_add(1);
        page.generations[place] = next.unwrap_or(0);
        page.len -= 1;
        self.len -= 1;
        if next.is_some() {
            self.free.push(token.slot());
        }
        Some(tenant)
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no value is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all values, by slot. Pages without any take no time.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        let pages = self.pages.iter().enumerate().filter(|(_, page)| page.len > 0);
        pages.flat_map(|(number, page)| {
            let slots = page.generations.iter().zip(&page.tenants).zip(number * PAGE..);
            slots.filter_map(|((&generation, tenant), slot)| {
                tenant.as_ref().map(|_| Token::new(generation, slot as u32))
            })
        })
    }

    /// The page and the place in it of the value with that name, if it is still stored.
    fn page(&mut self, token: Token) -> Option<(&mut Page<T>, usize)> {
        let place = token.slot() as usize % PAGE;
        let page = self.pages.get_mut(token.slot() as usize / PAGE)?;
        (page.generations[place] == token.generation()).then_some((page, place))
    }

    /// Adds a page, whose first slots are used first.
    fn grow(&mut self) {
        let first = u32::try_from(self.pages.len() * PAGE).expect("fewer than 2^32 slots");
        let (generations, tenants) = ([1; PAGE], std::array::from_fn(|_| None));
        self.pages.push(Box::new(Page { generations, tenants, len: 0 }));
        self.free.extend((first..first + PAGE as u32).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_outlives_its_value_matches_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.slot(), first.slot());
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_used_again() {
        let mut slab = Slab::default();
        slab.insert(());
        slab.pages[0].generations[0] = u32::MAX;
        assert_eq!(slab.remove(Token::new(u32::MAX, 0)), Some(()));
        assert_eq!(slab.insert(()), Token::new(1, 1));
        assert_eq!(slab.get_mut(Token::new(u32::MAX, 0)), None);
        assert_eq!(slab.get_mut(Token::WAKE), None);
    }

    #[test]
    fn tokens_lists_the_values_that_are_stored() {
        let mut slab = Slab::default();
        let all: Vec<_> = (0..4).map(|value| slab.insert(value)).collect();
        slab.remove(all[1]);
        assert_eq!(slab.tokens().collect::<Vec<_>>(), [all[0], all[2], all[3]]);
        assert_eq!(slab.len(), 3);
    }
}
