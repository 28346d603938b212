//! Slots whose tenants are told apart.

use crate::net::token::Token;

/// Values in numbered slots, each named by a [`Token`] that dies with it.
///
/// The slots of those who left are taken again first, so the slab is as long as
/// the most values it ever held at once. It grows by pages: growth moves nobody,
/// takes no longer with a million than with ten, and wastes half a page at most.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Box<Page<T>>>,
    free: Vec<u32>,
    len: usize,
}

/// The slots of a page.
const PAGE: usize = 32;

#[derive(Debug)]
struct Page<T> {
    /// Of the tenant that is in, or else of the next one. They stand apart from the
    /// tenants, beside which they would cost eight bytes each.
    generations: [u32; PAGE],
    tenants: [Option<T>; PAGE],
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { pages: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Takes a value in and names it.
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
        self.len += 1;
        Token::new(page.generations[place], slot)
    }

    /// The value of that name, if it is still in.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (page, place) = self.page(token)?;
        page.tenants[place].as_mut()
    }

    /// Takes the value of that name out, after which the name means nothing.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let (page, place) = self.page(token)?;
        let tenant = page.tenants[place].take()?;
        page.generations[place] = token.generation().checked_add(1).unwrap_or(1);
        self.free.push(token.slot());
        self.len -= 1;
        Some(tenant)
    }

    /// How many values are in.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all values that are in, by slot.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        let slots = self.pages.iter().flat_map(|page| page.generations.iter().zip(&page.tenants));
        slots.enumerate().filter_map(|(slot, (&generation, tenant))| {
            tenant.as_ref().map(|_| Token::new(generation, slot as u32))
        })
    }

    /// The page and the place in it that a name means, if it still does.
    fn page(&mut self, token: Token) -> Option<(&mut Page<T>, usize)> {
        let place = token.slot() as usize % PAGE;
        let page = self.pages.get_mut(token.slot() as usize / PAGE)?;
        (page.generations[place] == token.generation()).then_some((page, place))
    }

    /// Adds a page, whose first slots are taken first.
    fn grow(&mut self) {
        let first = u32::try_from(self.pages.len() * PAGE).expect("fewer than 2^32 slots");
        let (generations, tenants) = ([1; PAGE], std::array::from_fn(|_| None));
        self.pages.push(Box::new(Page { generations, tenants }));
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
    fn generations_never_reach_the_reserved_zero() {
        let mut slab = Slab::default();
        slab.insert(());
        slab.pages[0].generations[0] = u32::MAX;
        slab.remove(Token::new(u32::MAX, 0));
        assert_eq!(slab.insert(()), Token::new(1, 0));
        assert_eq!(slab.get_mut(Token::WAKE), None);
    }

    #[test]
    fn tokens_lists_who_is_in() {
        let mut slab = Slab::default();
        let all: Vec<_> = (0..4).map(|value| slab.insert(value)).collect();
        slab.remove(all[1]);
        assert_eq!(slab.tokens().collect::<Vec<_>>(), [all[0], all[2], all[3]]);
        assert_eq!(slab.len(), 3);
    }
}
