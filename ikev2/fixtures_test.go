package ikev2_test

import "errors"

var errTest = errors.New("the test refuses")
