//! What a test makes and changes: repositories and pull requests.

use camino::Utf8Path;

use super::GitHub;
use super::pull::{Comment, Entry, Home, Pull, Review, ReviewThread, Standing};
use super::refusal::Refusal;
use super::schema::SCHEMA;

impl GitHub {
    /// Makes a repository, `owner/name`.
    pub fn repository(&self, name: &str) -> &Self {
        assert!(name.split('/').count() == 2, "`{name}` is not `owner/name`");
        self.shared.lock().state.make(name);
        self
    }

    /// Deletes it with all that is in it; [`restore_repository`](Self::restore_repository) brings that back. Pull requests elsewhere
    /// whose head was there lose it.
    pub fn delete_repository(&self, name: &str) {
        let mut inner = self.shared.lock();
        inner.state.repository(name);
        let name = name.to_lowercase();
        let gone = inner.state.repositories.remove(&name);
        inner.state.deleted.extend(gone.map(|gone| (name.clone(), gone)));
        let left = inner.state.repositories.values_mut();
        for entry in left.flat_map(|repository| repository.pulls.values_mut()) {
            if matches!(&entry.pull.home, Home::Fork(fork) if fork.eq_ignore_ascii_case(&name)) {
                entry.pull.home = Home::Deleted;
            }
        }
    }

    /// Brings back one that was deleted, as it was.
    pub fn restore_repository(&self, name: &str) {
        let mut inner = self.shared.lock();
        let name = name.to_lowercase();
        let found = inner.state.deleted.remove(&name);
        let found = found.unwrap_or_else(|| panic!("no repository `{name}` was deleted"));
        inner.state.repositories.insert(name, found);
    }

    /// Where people would look at it, without a slash at the end: `https://github.com` if nothing else was said.
    pub fn web(&self, url: &str) {
        url.clone_into(&mut self.shared.lock().state.web);
    }

    /// From now on heads and bases of its open pull requests are what the branches of this bare repository are, at the time of
    /// each request. Those from forks are not.
    pub fn follow(&self, name: &str, bare: &Utf8Path) {
        self.shared.lock().state.repository(name).follow(bare.to_owned());
    }

    /// Moves a branch: the head of open pull requests from it, the base of those into it.
    pub fn push(&self, name: &str, branch: &str, sha: &str) {
        let now = self.shared.now();
        self.shared.lock().state.repository(name).push(branch, sha, now);
    }

    /// Opens a pull request and returns its number.
    pub fn open_pr(&self, name: &str, pull: Pull) -> u64 {
        let now = self.shared.now();
        pull.insist();
        let mut inner = self.shared.lock();
        let repository = inner.state.repository(name);
        let number = repository.pulls.keys().last().copied().unwrap_or_default() + 1;
        let entry = Entry {
            number,
            pull,
            standing: Standing::Open,
            created_ms: now,
            updated_ms: now,
            reviews: Vec::new(),
            threads: Vec::new(),
            refused: None,
        };
        repository.pulls.insert(number, entry);
        number
    }

    /// Changes a pull request. What is activity moves its `updated_at`; whether it can be merged is none.
    pub fn edit(&self, name: &str, number: u64, change: impl FnOnce(&mut Pull)) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let entry = inner.state.repository(name).entry(number);
        let before = entry.pull.clone();
        change(&mut entry.pull);
        entry.pull.insist();
        if entry.pull.is_activity(&before) {
            entry.updated_ms = now;
        }
    }

    /// Merges it: no commit is made.
    pub fn merge(&self, name: &str, number: u64) {
        let at_ms = self.shared.now();
        self.stands(name, number, Standing::Merged { at_ms });
    }

    /// Closes it without merging.
    pub fn close(&self, name: &str, number: u64) {
        let at_ms = self.shared.now();
        self.stands(name, number, Standing::Closed { at_ms });
    }

    /// Opens a closed one again.
    pub fn reopen(&self, name: &str, number: u64) {
        self.stands(name, number, Standing::Open);
    }

    fn stands(&self, name: &str, number: u64, standing: Standing) {
        self.touch(name, number, |entry, _, _| entry.standing = standing);
    }

    /// What everybody is told who asks for it by its number; `None` to show it again. Lists still have it.
    pub fn refuse_pr(&self, name: &str, number: u64, refusal: Option<Refusal>) {
        self.shared.lock().state.repository(name).entry(number).refused = refusal;
    }

    /// What everybody is told of each of its checks, as who has a token without the permission for them; `None` to show them again.
    /// How many there are and what they say together is still said.
    pub fn refuse_checks(&self, name: &str, refusal: Option<Refusal>) {
        self.shared.lock().state.repository(name).checks_refused = refusal;
    }

    /// Adds a review: `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub fn review(&self, name: &str, number: u64, author: &str, state: &str, body: &str) -> u64 {
        SCHEMA.insist("PullRequestReviewState", state);
        self.touch(name, number, |entry, id, now| {
            entry.reviews.push(Review {
                id,
                author: author.to_owned(),
                state: state.to_owned(),
                body: body.to_owned(),
                submitted_ms: now,
            });
            id
        })
    }

    /// Begins a conversation about a line; one about a line that is gone is outdated.
    pub fn thread(&self, name: &str, number: u64, path: &str, line: Option<u64>) -> u64 {
        self.touch(name, number, |entry, id, _| {
            entry.threads.push(ReviewThread {
                id,
                path: path.to_owned(),
                line,
                is_resolved: false,
                comments: Vec::new(),
            });
            id
        })
    }

    /// Says something in it.
    pub fn comment(&self, name: &str, number: u64, thread: u64, author: &str, body: &str) -> u64 {
        self.touch(name, number, |entry, id, now| {
            entry.thread(thread).comments.push(Comment {
                id,
                author: author.to_owned(),
                body: body.to_owned(),
                created_ms: now,
            });
            id
        })
    }

    /// Resolves it, or opens it again. That moves no `updated_at`.
    pub fn resolve(&self, name: &str, number: u64, thread: u64, is_resolved: bool) {
        let mut inner = self.shared.lock();
        let entry = inner.state.repository(name).entry(number);
        entry.thread(thread).is_resolved = is_resolved;
    }

    /// Does something to a pull request that is activity. It gets a number for what it adds, and the time.
    fn touch<T>(&self, name: &str, number: u64, change: impl FnOnce(&mut Entry, u64, i64) -> T) -> T {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let id = inner.state.id();
        let entry = inner.state.repository(name).entry(number);
        entry.updated_ms = now;
        change(entry, id, now)
    }
}
