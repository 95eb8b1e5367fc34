package control_test

// childVariable makes the test binary a gateway that can be killed.
const childVariable = "HAUBERK_TEST_GATEWAY"

func child() int { return 1 }
