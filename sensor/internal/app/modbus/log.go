package modbus

import (
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// functionNames are how EVE calls functions.
var functionNames = map[uint8]string{
	readCoils: "RdCoils", readDiscretes: "RdDiscreteInputs", readHolding: "RdHoldRegs", readInputs: "RdInputRegs", writeCoil: "WrSingleCoil",
	writeRegister: "WrSingleReg", readStatus: "RdExcStatus", diagnostic: "Diagnostic", 9: "Program484", 10: "Poll484", 11: "GetCommEventCtr",
	12: "GetCommEventLog", 13: "ProgramController", 14: "PollController", writeCoils: "WrMultCoils", writeRegisters: "WrMultRegs",
	17: "ReportServerID", 18: "Program884", 19: "ResetCommLink", 20: "RdFileRec", 21: "WrFileRec", maskRegister: "MaskWrReg",
	readWrite: "RdWrMultRegs", 24: "RdFIFOQueue", encapsulated: "MEI",
}

// exceptions are the names of their codes (7).
var exceptions = map[uint8]string{
	1: "IllegalFunction", 2: "IllegalDataAddr", 3: "IllegalDataValue", 4: "ServerDeviceFail", 5: "Ack", 6: "ServerDeviceBusy", 7: "NegAck",
	8: "MemParityErr", 10: "GatewayPathUnavailable", 11: "GatewayTargetFailToResp",
}

// diagnostics are the names of sub-functions of diagnostics (6.8).
var diagnostics = map[uint16]string{
	0: "RetQueryData", 1: "RestartCommOpt", 2: "RetDiagReg", 3: "ChangeInputDelimiter", 4: "ForceListenMode", 10: "ClearCtrDiagReg",
	11: "RetBusMsgCount", 12: "RetBusCommErrCount", 13: "RetBusExcErrCount", 14: "RetServerMsgCount", 15: "RetServerNoRespCount",
	16: "RetServerNAKCount", 17: "RetServerBusyCount", 18: "RetBusCharOverrunCount", 19: "RetOverrunErrCount", 20: "ClearOverrunCounterFlag",
	21: "GetClearPlusStats",
}

// interfaces are the names of encapsulated interfaces (6.19).
var interfaces = map[uint8]string{13: "CANOpenGenRefReqResp", 14: "RdDevId"}

// nameOr is the name of a number, or another word.
func nameOr[K comparable](names map[K]string, n K, other string) string {
	if name, ok := names[n]; ok {
		return name
	}
	return other
}

// flagNames joins the names of the bits that are set.
func flagNames(bits uint8, names ...string) string {
	var set []string
	for i, name := range names {
		if bits>>i&1 == 1 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "NONE"
	}
	return strings.Join(set, " | ")
}

// appendLog writes the member modbus of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("modbus")
	w.Uint("id", t.ID+1)
	if t.request != nil {
		w.Object("request")
		t.request.log(w)
		w.Close()
	}
	if t.response != nil {
		w.Object("response")
		t.response.log(w)
		w.Close()
	}
	w.Close()
}

func (m *message) log(w *jsonw.Writer) {
	w.Uint("transaction_id", uint64(m.id))
	w.Uint("protocol_id", uint64(m.protocol))
	w.Uint("unit_id", uint64(m.unit))
	raw := uint64(m.function)
	if m.exception {
		raw |= exceptionBit
	}
	w.Uint("function_raw", raw)
	w.String("function_code", nameOr(functionNames, m.function, "Unknown"))
	w.String("access_type", flagNames(uint8(accesses[m.function]), "READ", "WRITE", "DISCRETES", "COILS", "INPUT", "HOLDING", "SINGLE", "MULTIPLE"))
	w.String("category", flagNames(uint8(categoryOf(m.function)), "PUBLIC_ASSIGNED", "PUBLIC_UNASSIGNED", "USER_DEFINED", "RESERVED"))
	w.String("error_flags", flagNames(uint8(m.flaws), "DATA_VALUE", "DATA_LENGTH", "EXC_CODE", "FUNC_CODE", "PROTO_ID"))
	switch {
	case m.exception:
		logCode(w, "exception", uint64(m.code), nameOr(exceptions, m.code, "Unknown"), nil)
	case m.function == diagnostic:
		logCode(w, "diagnostic", uint64(m.sub), nameOr(diagnostics, m.sub, "Reserved"), m.data)
	case m.function == encapsulated:
		logCode(w, "mei", uint64(m.code), nameOr(interfaces, m.code, "Unknown"), m.data)
	case m.read != nil || m.write != nil:
		m.logSpans(w)
	case len(m.data) > 0:
		w.Text("data", m.data)
	}
}

func logCode(w *jsonw.Writer, key string, raw uint64, code string, data []byte) {
	w.Object(key)
	w.Uint("raw", raw)
	w.String("code", code)
	if data != nil {
		w.Text("data", data)
	}
	w.Close()
}

func (m *message) logSpans(w *jsonw.Writer) {
	if s := m.read; s != nil {
		w.Object("read")
		if s.request {
			w.Uint("address", uint64(s.address))
			w.Uint("quantity", uint64(s.quantity))
		} else {
			w.Text("data", s.data)
		}
		w.Close()
	}
	s := m.write
	if s == nil {
		return
	}
	w.Object("write")
	w.Uint("address", uint64(s.address))
	switch {
	case s.request:
		w.Uint("quantity", uint64(s.quantity))
		w.Text("data", s.data)
	case m.function == maskRegister:
		w.Uint("and_mask", uint64(m.mask[0]))
		w.Uint("or_mask", uint64(m.mask[1]))
	case len(s.data) == 2:
		w.Uint("data", uint64(s.data[0])<<8|uint64(s.data[1]))
	}
	w.Close()
}
