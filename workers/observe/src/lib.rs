//! Looks at the outside world and writes down what it saw
