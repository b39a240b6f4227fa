//! Maps that many threads read while one changes rows: split into shards, each row behind an `Arc`.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::id::CustomerId;

use super::Subscriber;

/// Subscribers by id and by name.
#[derive(Default)]
pub(super) struct Directory {
    by_id: Table<CustomerId, Subscriber>,
    by_name: Table<Box<[u8]>, Subscriber>,
}

impl Directory {
    pub(super) fn by_name(&self, username: &[u8]) -> Option<Arc<Subscriber>> {
        self.by_name.find_by(username)
    }

    pub(super) fn by_id(&self, customer: CustomerId) -> Option<Arc<Subscriber>> {
        self.by_id.find(customer)
    }

    pub(super) fn ids_where(&self, which: impl Fn(&Subscriber) -> bool) -> Vec<CustomerId> {
        let ids = self.by_id.keys().into_iter();
        ids.filter(|id| self.by_id.find(*id).is_some_and(|held| which(&held)))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Files a subscriber; returns the one held before under that id.
    pub(super) fn put(&self, subscriber: Arc<Subscriber>) -> Option<Arc<Subscriber>> {
        let before = self.by_id.put_shared(subscriber.id, subscriber.clone());
        if let Some(before) = &before
            && before.username != subscriber.username
        {
            self.forget_name(before);
        }
        self.by_name
            .put_shared(subscriber.username.clone(), subscriber);
        before
    }

    /// Forgets a subscriber; returns him.
    pub(super) fn remove(&self, customer: CustomerId) -> Option<Arc<Subscriber>> {
        let before = self.by_id.remove(customer)?;
        self.forget_name(&before);
        Some(before)
    }

    /// A name may already belong to another customer, who keeps it.
    fn forget_name(&self, before: &Subscriber) {
        let holder = self.by_name.find_by(&*before.username);
        if holder.is_some_and(|holder| holder.id == before.id) {
            self.by_name.remove(before.username.clone());
        }
    }
}

/// A sharded map of shared rows.
pub(super) struct Table<K, V> {
    shards: Vec<RwLock<HashMap<K, Arc<V>>>>,
    hasher: RandomState,
}

impl<K: Hash + Eq, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> Table<K, V> {
    pub(super) fn find(&self, key: K) -> Option<Arc<V>> {
        self.find_by(&key)
    }

    pub(super) fn find_by<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = self.shard(key).read();
        shard
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    pub(super) fn put(&self, key: K, value: V) -> Option<Arc<V>> {
        self.put_shared(key, Arc::new(value))
    }

    pub(super) fn put_shared(&self, key: K, value: Arc<V>) -> Option<Arc<V>> {
        let shard = self.shard(&key).write();
        shard
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, value)
    }

    pub(super) fn remove(&self, key: K) -> Option<Arc<V>> {
        let shard = self.shard(&key).write();
        shard.unwrap_or_else(PoisonError::into_inner).remove(&key)
    }

    pub(super) fn keys(&self) -> Vec<K> {
        let shards = self.shards.iter();
        shards
            .flat_map(|shard| {
                let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
                shard.keys().cloned().collect::<Vec<_>>()
            })
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        let lens = self.shards.iter();
        lens.map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<HashMap<K, Arc<V>>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash % SHARDS) as usize]
    }
}

/// A writer stops one reader in 64 for the time of one insert.
const SHARDS: u64 = 64;
