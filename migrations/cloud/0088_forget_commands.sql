-- Orders are forgotten once they are ninety days over.
grant delete on commands to easyisp_app;
