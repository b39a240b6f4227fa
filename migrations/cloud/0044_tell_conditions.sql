-- What a person should look at, as each agent last told it whole: its box, and the routers it hears.
alter table agents add column condition jsonb;
