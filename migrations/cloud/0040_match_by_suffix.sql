-- Whether a payer who typed the end of his user name or account number, or something before it, is found by that,
-- where it fits one customer only.
alter table gateways add column match_suffix boolean not null default false;
