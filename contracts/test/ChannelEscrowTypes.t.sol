// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

import {ChannelEscrow} from "../src/ChannelEscrow.sol";
import {IChannelEscrow} from "../src/IChannelEscrow.sol";
import {IDepositCollector} from "../src/IDepositCollector.sol";
import {Test} from "./support/Test.sol";

/// @notice The public interface of x402 batch settlement, bit by bit. Expected values come from the ABI, the type
///         strings and the typed-data encoder of the Python package `x402` 2.25.0, not from this contract.
contract ChannelEscrowTypesTest is Test {
    address private constant CANONICAL = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;

    ChannelEscrow private _escrow;

    /// @dev The runtime code of any escrow works at the canonical address, under that chain's id.
    function setUp() public {
        vm.etch(CANONICAL, address(ChannelEscrow(_deploy("ChannelEscrow", ""))).code);
        vm.chainId(8453);
        _escrow = ChannelEscrow(CANONICAL);
    }

    function test_selectors() public pure {
        _selector(Multicall.multicall.selector, 0xac9650d8);
        _selector(IChannelEscrow.deposit.selector, 0x140f1e75);
        _selector(IChannelEscrow.claim.selector, 0x29237b0c);
        _selector(IChannelEscrow.claimWithSignature.selector, 0xe43ce1f2);
        _selector(IChannelEscrow.settle.selector, 0x9db32a8f);
        _selector(IChannelEscrow.initiateWithdraw.selector, 0xcf5cf3dc);
        _selector(IChannelEscrow.finalizeWithdraw.selector, 0xe88377b1);
        _selector(IChannelEscrow.refund.selector, 0xdce4bfae);
        _selector(IChannelEscrow.refundWithSignature.selector, 0xb77433e9);
        _selector(IChannelEscrow.getChannelId.selector, 0x5e5e0b87);
        _selector(IChannelEscrow.channels.selector, 0x7a7ebd7b);
        _selector(IChannelEscrow.pendingWithdrawals.selector, 0xb7f06ebe);
        _selector(IChannelEscrow.receivers.selector, 0x21ff6389);
        _selector(IChannelEscrow.refundNonce.selector, 0xf0dc792e);
        _selector(IChannelEscrow.getVoucherDigest.selector, 0x862bb199);
        _selector(IChannelEscrow.getRefundDigest.selector, 0xe25cf189);
        _selector(IChannelEscrow.getClaimBatchDigest.selector, 0x488ccc3b);
        _selector(
            IDepositCollector.collect.selector,
            bytes4(keccak256("collect(address,address,uint256,bytes32,bytes)"))
        );
    }

    function test_event_settled() public pure {
        _equal(
            IChannelEscrow.Settled.selector,
            0x7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d,
            "Settled"
        );
    }

    /// @dev As read from the contract deployed at the canonical address.
    function test_typehashes() public view {
        _equal(
            _escrow.CHANNEL_CONFIG_TYPEHASH(),
            0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308,
            "ChannelConfig"
        );
        _equal(
            _escrow.VOUCHER_TYPEHASH(),
            0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69,
            "Voucher"
        );
        _equal(
            _escrow.REFUND_TYPEHASH(),
            0xbe23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216,
            "Refund"
        );
        _equal(
            _escrow.CLAIM_ENTRY_TYPEHASH(),
            0x30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5,
            "ClaimEntry"
        );
        _equal(
            _escrow.CLAIM_BATCH_TYPEHASH(),
            0x42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57,
            "ClaimBatch"
        );
        _equal(_escrow.MIN_WITHDRAW_DELAY(), 900, "shortest delay");
        _equal(_escrow.MAX_WITHDRAW_DELAY(), 2_592_000, "longest delay");
    }

    function test_channel_id() public {
        bytes32 first = 0x0e8253e1fe835af57cecbd5cb12a336f525f7aa1dccbcd9d92ff9d77ac0e59bf;
        _equal(_escrow.getChannelId(_config(bytes32(uint256(0x55) * _ONES))), first, "on chain 8453");
        vm.chainId(1);
        bytes32 second = 0xd4705cf322d743b03987b52f5451783fb3395282a692bb819c60b91b05e9f816;
        _equal(_escrow.getChannelId(_config(bytes32(uint256(0x55) * _ONES))), second, "on chain 1");
    }

    function test_digests() public view {
        bytes32 channelId = _escrow.getChannelId(_config(bytes32(uint256(0x55) * _ONES)));
        _equal(
            _escrow.getVoucherDigest(channelId, 4200),
            0x0431633c7e11419cb53e939709d0b4098ce5f914a5375b3db2a70e5f87eafc49,
            "voucher"
        );
        _equal(
            _escrow.getRefundDigest(channelId, 7, 1500),
            0x52b392fe0bbf9675b3b176a1b42ec43a54fff55e8e54a3a1947bf5885461b5fd,
            "refund"
        );
        IChannelEscrow.VoucherClaim[] memory rows = new IChannelEscrow.VoucherClaim[](2);
        rows[0] = _row(bytes32(uint256(0x55) * _ONES), 4200, 4100);
        rows[1] = _row(bytes32(uint256(0x66) * _ONES), 9, 8);
        _equal(
            _escrow.getClaimBatchDigest(rows),
            0x008564b85b0d217ca8ea4668f357ed7ce70dea4e93315e9f96933cd20bd7619c,
            "claim batch"
        );
    }

    function test_domain() public view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address where,,) =
            _escrow.eip712Domain();
        _equal(bytes32(fields), bytes32(bytes1(0x0f)), "fields");
        _equal(keccak256(bytes(name)), keccak256("x402 Batch Settlement"), "name");
        _equal(keccak256(bytes(version)), keccak256("1"), "version");
        _equal(chainId, 8453, "chain id");
        _equal(where, CANONICAL, "contract");
    }

    /// @dev Every field makes another channel, and so does another address of the escrow.
    function testFuzz_channel_id_covers_everything(uint256 field, uint256 raw) public {
        IChannelEscrow.ChannelConfig memory config = _config(0);
        bytes32 before = _escrow.getChannelId(config);
        address other = address(uint160(raw));
        field = _within(field, 0, 7);
        if (field == 0) config.payer = other;
        if (field == 1) config.payerAuthorizer = other;
        if (field == 2) config.receiver = other;
        if (field == 3) config.receiverAuthorizer = other;
        if (field == 4) config.token = other;
        if (field == 5) config.withdrawDelay = uint40(raw);
        if (field == 6) config.salt = bytes32(raw);
        bool same = keccak256(abi.encode(config)) == keccak256(abi.encode(_config(0)));
        if (field == 7) {
            _escrow = ChannelEscrow(_deploy("ChannelEscrow", ""));
            same = false;
        }
        _true((_escrow.getChannelId(config) == before) == same, "id tells configs apart");
    }

    uint256 private constant _ONES = type(uint256).max / 0xff;

    function _config(bytes32 salt) private pure returns (IChannelEscrow.ChannelConfig memory) {
        return IChannelEscrow.ChannelConfig({
            payer: 0x1111111111111111111111111111111111111111,
            payerAuthorizer: 0x2222222222222222222222222222222222222222,
            receiver: 0x3333333333333333333333333333333333333333,
            receiverAuthorizer: 0x4444444444444444444444444444444444444444,
            token: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913,
            withdrawDelay: 900,
            salt: salt
        });
    }

    function _row(bytes32 salt, uint128 ceiling, uint128 total)
        private
        pure
        returns (IChannelEscrow.VoucherClaim memory)
    {
        return IChannelEscrow.VoucherClaim({
            voucher: IChannelEscrow.Voucher({channel: _config(salt), maxClaimableAmount: ceiling}),
            signature: "",
            totalClaimed: total
        });
    }

    function _selector(bytes4 got, bytes4 want) private pure {
        _equal(bytes32(got), bytes32(want), "selector");
    }
}
