-- Where a router's agents do not get in its script brings them a new password, by which they meet a board that was reset,
-- or another one in its place, anew. It is theirs once the router says that it took it.
alter table directory.provision_tokens
    -- sealed for `routers.api_password`; of a CALLBACK, and where the login is the agents' own
    add column api_password_sealed bytea;
